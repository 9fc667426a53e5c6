import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import small_dataset

from alignrec.artifacts import hash_file
from alignrec.data import Catalogue, Dataset
from alignrec.errors import ArtifactError, FeatureError, SettingsError, UsageError
from alignrec.features import FeatureTable, save_features
from alignrec.studies import Run, retrain, train

SETTINGS = {
    "model": {"embedding_size": 8},
    "training": {"epochs": 3, "batch_size": 64, "lr": 0.01, "checkpoint_seconds": 0},
    "plugin.uia": {"weight": 0.3},
}
RESULTS = ("model.safetensors", "representations.safetensors", "metrics.jsonl", "report.json")


def with_other_features(path: Path) -> Dataset:
    dataset = small_dataset(path)
    matrix = np.random.default_rng(1).normal(size=(dataset.n_items, 4)).astype(np.float32)
    save_features(path / "features", FeatureTable("another", "image", dataset.items.ids, matrix))
    return dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return with_other_features(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Read only. Its features are not in the order of the alphabet, which decides how their columns are joined."""
    out = tmp_path_factory.mktemp("runs") / "run"
    features = ["content", "another"]
    return train(dataset, model="vbpr", out=out, features=features, plugins=["uia"], settings=SETTINGS, seed=7)


@pytest.fixture
def copied(run: Run, tmp_path: Path) -> Run:
    """One that a test may change."""
    return Run(shutil.copytree(run.path, tmp_path / "copied"))


def change_plan(run: Run, change: Any) -> None:
    stored = json.loads((run.path / "run.json").read_text())
    change(stored)
    (run.path / "run.json").write_text(json.dumps(stored))


def hashes(run: Run) -> list[str]:
    return [hash_file(run.path / name) for name in RESULTS]


def test_a_run_with_features_and_a_plugin_comes_out_to_the_byte(run: Run, tmp_path: Path) -> None:
    said: list[str] = []
    again = retrain(run.path, out=tmp_path / "again", say=said.append)
    assert hashes(again) == hashes(run)
    assert again.plan == run.plan
    assert list(again.plan.features) == ["content", "another"]
    assert said == []


def test_the_order_of_features_makes_a_difference(dataset: Dataset, run: Run, tmp_path: Path) -> None:
    """Or the test above would say nothing about it."""
    options = {"plugins": ["uia"], "settings": SETTINGS, "seed": 7}
    turned = train(dataset, model="vbpr", out=tmp_path / "run", features=["another", "content"], **options)
    assert hashes(turned)[0] != hashes(run)[0]


def test_an_unfinished_run_will_do(run: Run, copied: Run, tmp_path: Path) -> None:
    for name in RESULTS:
        (copied.path / name).unlink()
    assert hashes(retrain(copied, out=tmp_path / "again")) == hashes(run)


def test_a_run_is_gone_on_with_from_itself(run: Run, copied: Run) -> None:
    (copied.path / "report.json").unlink()
    assert hashes(retrain(copied, out=copied.path, resume=True)) == hashes(run)


def test_a_broken_repetition_goes_on_to_the_same_bytes(run: Run, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def die(line: dict[str, Any], _objective: object) -> None:
        if line["epoch"] == 2:
            raise KilledError

    with pytest.raises(KilledError):
        retrain(run, out=tmp_path / "again", observers=[die])
    with pytest.raises(ArtifactError, match="holds an unfinished run; add --resume"):
        retrain(run, out=tmp_path / "again")
    assert hashes(retrain(run, out=tmp_path / "again", resume=True)) == hashes(run)


def test_settings_that_came_later_take_their_defaults_and_are_named_on_one_line(
    run: Run, copied: Run, tmp_path: Path
) -> None:
    def forget(stored: dict[str, Any]) -> None:
        del stored["settings"]["training"]["lr_decay"], stored["settings"]["model"]["reg_weight"]

    change_plan(copied, forget)
    said: list[str] = []
    again = retrain(copied, out=tmp_path / "again", say=said.append)
    reg_weight = run.plan.settings["model"]["reg_weight"]
    assert said == [
        f"settings that the run did not have yet, at their defaults: model.reg_weight={reg_weight}, "
        "training.lr_decay=1.0"
    ]
    assert again.plan.settings == run.plan.settings
    assert hashes(again) == hashes(run)


def test_other_versions_are_named(copied: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_plan(copied, lambda stored: stored["versions"].update(torch="1.0"))
    again = retrain(copied, out=tmp_path / "again")
    expected = f"the last digits may differ from the run's: torch 1.0 is now {again.plan.versions['torch']}"
    assert capsys.readouterr().err == f"alignrec: {expected}\n"


def test_a_setting_that_is_no_more_is_named_with_the_runs_version(copied: Run, tmp_path: Path) -> None:
    change_plan(copied, lambda stored: stored["settings"]["training"].update(momentum=0.9))
    with pytest.raises(SettingsError, match=r"is of alignrec 0\.\S+: unknown setting 'training\.momentum'"):
        retrain(copied, out=tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_dataset_that_has_moved_is_given_by_its_folder(run: Run, copied: Run, tmp_path: Path) -> None:
    with_other_features(tmp_path / "moved")
    change_plan(copied, lambda stored: stored.update(dataset_path=str(tmp_path / "gone")))
    with pytest.raises(ArtifactError, match=r"is no longer at .*gone; give it by --dataset-folder"):
        retrain(copied, out=tmp_path / "again")
    again = retrain(copied, out=tmp_path / "again", dataset=tmp_path / "moved")
    assert hashes(again) == hashes(run)
    assert again.dataset_path == (tmp_path / "moved").resolve()


def test_another_dataset_is_refused(run: Run, tmp_path: Path) -> None:
    other = small_dataset(tmp_path / "small")
    changed = other.catalogue.frame.with_columns(title=other.catalogue.frame["title"] + "!")
    Dataset("small", other.users, other.items, other.log, Catalogue(changed)).save(tmp_path / "other")
    with pytest.raises(ArtifactError, match=r"is not the dataset that .* was trained on"):
        retrain(run, out=tmp_path / "again", dataset=tmp_path / "other")


def test_features_that_have_changed_or_are_gone_are_refused(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    dataset = with_other_features(folder)
    matrix = dataset.features("another").matrix + 1
    save_features(folder / "features", FeatureTable("another", "image", dataset.items.ids, matrix))
    with pytest.raises(ArtifactError, match=r"features 'another' of .* are not those that .* was trained on \(hash "):
        retrain(run, out=tmp_path / "again", dataset=folder)
    for file in (folder / "features").glob("another.*"):
        file.unlink()
    with pytest.raises(FeatureError, match="no features called 'another' here; there are: content"):
        retrain(run, out=tmp_path / "again", dataset=folder)
    assert not (tmp_path / "again").exists()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no run in .*: it has no run\.json; give the folder of a run"):
        retrain(tmp_path, out=tmp_path / "again")


def test_a_device_that_is_not_here_is_named_and_another_can_be_given(run: Run, copied: Run, tmp_path: Path) -> None:
    change_plan(copied, lambda stored: stored.update(device="cuda:99"))
    with pytest.raises(UsageError, match="device 'cuda:99' is not on this machine"):
        retrain(copied, out=tmp_path / "again")
    assert hashes(retrain(copied, out=tmp_path / "again", device="cpu")) == hashes(run)
