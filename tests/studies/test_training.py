import json
import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import small_dataset

from alignrec.artifacts import hash_file, read_arrays
from alignrec.data import Catalogue, Dataset
from alignrec.errors import ArtifactError, DataError, SettingsError
from alignrec.models import LightGCN
from alignrec.studies import Run, train
from alignrec.studies.training import validation

SETTINGS = {"model": {"embedding_size": 8}, "training": {"epochs": 6, "batch_size": 64, "checkpoint_seconds": 0}}
RESULTS = ("run.json", "metrics.jsonl", "model.safetensors", "representations.safetensors", "report.json")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("data") / "small")


def hashes(run: Path) -> dict[str, str]:
    return {name: hash_file(run / name) for name in RESULTS if name != "run.json"}


def test_a_run_folder_holds_plan_metrics_weights_and_validation_only(dataset: Dataset, tmp_path: Path) -> None:
    run = train(dataset, model="lightgcn", out=tmp_path / "run", settings=SETTINGS, seed=3)
    assert {path.name for path in run.path.iterdir()} == {*RESULTS, "timing.jsonl"}
    plan = run.plan
    assert (plan.model, plan.seed, plan.settings["training"]["epochs"]) == ("lightgcn", 3, 6)
    assert plan.settings["model"]["n_layers"] == 2, "defaults are written out"
    report = run.report()
    assert set(report) == {"valid", "training"}, "the test split stays closed"
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    best = max(lines, key=lambda line: (line["valid"]["recall@20"], -line["epoch"]))
    assert report["training"]["best_epoch"] == best["epoch"]
    assert report["valid"] == best["valid"]


def test_the_vectors_of_every_modality_are_kept_where_a_model_computes_them(dataset: Dataset, tmp_path: Path) -> None:
    run = train(dataset, model="freedom", features=["content"], out=tmp_path / "run", settings=SETTINGS)
    stored = read_arrays(run.path / "representations.safetensors")
    weights = read_arrays(run.path / "model.safetensors")
    table, map_, bias = (next(v for k, v in weights.items() if k.endswith(end)) for end in ("table", "weight", "bias"))
    np.testing.assert_allclose(stored["content.content.items"], table @ map_.T + bias, rtol=1e-5, atol=1e-6)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(dataset: Dataset, tmp_path: Path) -> None:
    runs = [
        train(dataset, model="alignrec", features=["content"], out=tmp_path / name, settings=SETTINGS, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    first, second, other = (hashes(run.path) for run in runs)
    assert first == second
    assert first["model.safetensors"] != other["model.safetensors"]


SCRIPT = """
import sys, time, torch
torch.set_num_threads(1)
from alignrec.studies import train
from alignrec.models import LightGCN
slow = LightGCN.start_epoch
LightGCN.start_epoch = lambda self, rng: time.sleep(0.05)
settings = {"model": {"embedding_size": 8}, "training": {"epochs": 40, "batch_size": 64, "checkpoint_seconds": 0,
            "patience": 100}}
train(sys.argv[1], model="lightgcn", out=sys.argv[2], settings=settings, seed=5, resume=True)
"""


def start(dataset: Dataset, out: Path) -> "subprocess.Popen[bytes]":
    """A training process; what it says goes to a file beside the run."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(dataset.path), str(out)]
    with said(out).open("ab") as log:
        return subprocess.Popen(command, env=environment, stderr=log)


def said(out: Path) -> Path:
    return out.with_suffix(".log")


def epochs_logged(out: Path) -> int:
    metrics = out / "metrics.jsonl"
    return len(metrics.read_text().splitlines()) if metrics.is_file() else 0


def wait_for_epochs(process: "subprocess.Popen[bytes]", out: Path, epochs: int) -> None:
    deadline = time.monotonic() + 120
    while epochs_logged(out) < epochs and process.poll() is None:
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.01)


def test_a_run_killed_again_and_again_ends_with_the_bytes_of_one_never_killed(dataset: Dataset, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(dataset, whole).wait() == 0
    for epochs in (3, 11, 23):
        process = start(dataset, killed)
        wait_for_epochs(process, killed, epochs)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it must have been killed while it ran"
        assert not Run(killed).finished
    assert start(dataset, killed).wait() == 0
    assert hashes(killed) == hashes(whole)
    assert not (killed / "checkpoint").exists()


def test_interrupt_saves_says_how_to_resume_and_resuming_gives_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    reference = start(dataset, whole)
    process = start(dataset, stopped)
    wait_for_epochs(process, stopped, 4)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 1
    error = said(stopped).read_text()
    assert "finishing this epoch, then saving" in error
    assert "with --resume goes on from there" in error
    assert (stopped / "checkpoint" / "state.safetensors").is_file()
    assert start(dataset, stopped).wait() == 0
    assert reference.wait() == 0
    assert hashes(stopped) == hashes(whole)


def test_a_folder_with_another_run_is_refused_and_says_what_differs(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(dataset, model="bpr", out=out, settings=SETTINGS)
    with pytest.raises(ArtifactError, match="holds a finished run; add --resume"):
        train(dataset, model="bpr", out=out, settings=SETTINGS)
    with pytest.raises(ArtifactError, match=r"another run: seed was 0, now 1; choose another --out"):
        train(dataset, model="bpr", out=out, settings=SETTINGS, seed=1, resume=True)
    changed = {**SETTINGS, "model": {"embedding_size": 4}}
    with pytest.raises(ArtifactError, match=r"settings model: embedding_size: was 8, now 4"):
        train(dataset, model="bpr", out=out, settings=changed, resume=True)


def test_a_run_of_another_dataset_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(dataset, model="bpr", out=out, settings=SETTINGS)
    other = Dataset(dataset.name, dataset.users, dataset.items, dataset.log, dataset.catalogue)
    changed = other.catalogue.frame.with_columns(title=other.catalogue.frame["title"] + "!")
    moved = Dataset("small", other.users, other.items, other.log, Catalogue(changed)).save(tmp_path / "other")
    with pytest.raises(ArtifactError, match="another run: dataset hash"):
        train(moved, model="bpr", out=out, settings=SETTINGS, resume=True)


def test_resuming_a_finished_run_changes_nothing(dataset: Dataset, tmp_path: Path) -> None:
    run = train(dataset, model="bpr", out=tmp_path / "run", settings=SETTINGS)
    before = {name: hash_file(run.path / name) for name in RESULTS}
    train(dataset, model="bpr", out=tmp_path / "run", settings=SETTINGS, resume=True)
    assert {name: hash_file(run.path / name) for name in RESULTS} == before


def test_a_finished_run_of_a_version_without_a_later_setting_is_the_same_run(dataset: Dataset, tmp_path: Path) -> None:
    settings = {"training": {"epochs": 1}}
    run = train(dataset, model="bpr", out=tmp_path / "run", settings=settings)
    stored = json.loads((run.path / "run.json").read_text())
    del stored["settings"]["training"]["keep"]  # its default is what there was before
    (run.path / "run.json").write_text(json.dumps(stored))
    assert train(dataset, model="bpr", out=run.path, settings=settings, resume=True) == run


def test_a_run_that_another_process_trains_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    out, words = tmp_path / "run", {"model": "bpr", "settings": SETTINGS}

    def intrude(line: Any, _objective: object) -> None:
        if line["epoch"] == 2:
            with pytest.raises(ArtifactError, match="being written by another process"):
                train(dataset, out=out, resume=True, **words)

    train(dataset, out=out, observers=[intrude], **words)
    train(dataset, out=tmp_path / "alone", **words)
    assert hashes(out) == hashes(tmp_path / "alone")


def test_a_kill_before_the_plan_was_written_leaves_a_folder_to_go_on_in(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / ".run.json.abc.part").write_text("{")
    train(dataset, model="bpr", out=out, settings=SETTINGS, resume=True)
    assert {path.name for path in out.iterdir()} == {*RESULTS, "timing.jsonl"}


def test_a_folder_that_is_no_run_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    with pytest.raises(ArtifactError, match="exists and is not a run folder"):
        train(dataset, model="bpr", out=tmp_path / "letters", settings=SETTINGS)
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["dear.txt"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainig": {"lr": 1}}, "unknown section 'trainig' of settings; allowed: model, training"),
        ({"training": {"learning_rate": 1}}, r"unknown setting 'training\.learning_rate'"),
        ({"training": {"lr": -1}}, r"setting 'training\.lr' cannot be -1"),
        ({"training": {"metric": "recal@20"}}, r"setting 'training\.metric': unknown metric 'recal@20'; write KIND@K"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(
    dataset: Dataset, tmp_path: Path, settings: dict, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        train(dataset, model="bpr", out=tmp_path / "run", settings=settings)
    assert not (tmp_path / "run").exists()


def test_alignrec_without_features_says_what_to_add(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs item features and none are given; add --features NAME"):
        train(dataset, model="alignrec", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_empty_validation_split_is_an_error(dataset: Dataset) -> None:
    log = dataset.log
    rows = log.splits != 1
    emptied = type(log)(log.users[rows], log.items[rows], log.splits[rows])
    with pytest.raises(DataError, match="empty validation split"):
        validation(Dataset("x", dataset.users, dataset.items, emptied, dataset.catalogue), "recall@20")


SMALL_FETTLE = {"user_item_prototypes": 8, "content_prototypes": 8}


def train_fettle(dataset: Dataset, out: Path, **changed: Any) -> Run:
    settings = {**SETTINGS, "plugin.fettle": {**SMALL_FETTLE, **changed}}
    return train(
        dataset, model="lightgcn", features=["content"], plugins=["fettle"], out=out, settings=settings, resume=True
    )


def test_a_run_says_what_was_plugged_in_and_serves_the_backbone_alone(dataset: Dataset, tmp_path: Path) -> None:
    run = train_fettle(dataset, tmp_path / "run", item_weight=0.01)
    assert list(run.plan.plugins) == ["fettle"]
    settings = run.plan.settings["plugin.fettle"]
    assert (settings["item_weight"], settings["content_prototypes"], settings["direction"]) == (0.01, 8, "directed")
    assert list(read_arrays(run.path / "model.safetensors")) == ["embedding"]
    line = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[0])
    assert {"bpr", "norm", "fettle.ila", "fettle.dt", "fettle.ui", "fettle.itv"} < set(line["loss"])


class KilledError(BaseException):
    """Ends a run without giving it a chance to save."""


def test_a_run_with_a_plugin_killed_on_the_way_ends_with_the_bytes_of_one_never_killed(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed, epochs = train_fettle(dataset, tmp_path / "whole"), tmp_path / "killed", count(1)

    def dies_in_the_fourth_epoch(self: LightGCN, rng: object) -> None:
        if next(epochs) == 4:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(LightGCN, "start_epoch", dies_in_the_fourth_epoch)
        with pytest.raises(KilledError):
            train_fettle(dataset, killed)
    stored = read_arrays(killed / "checkpoint" / "state.safetensors")
    assert "weights/plugins.fettle.content_codebook" in stored
    assert "weights/completion.projections.0.linear.weight" in stored
    assert not Run(killed).finished
    train_fettle(dataset, killed)
    assert hashes(killed) == hashes(whole.path)


def test_another_plugin_or_setting_of_one_is_another_run(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train_fettle(dataset, out)
    with pytest.raises(ArtifactError, match="another run: plugins were fettle, now none; choose another --out"):
        train(dataset, model="lightgcn", features=["content"], out=out, settings=SETTINGS, resume=True)
    with pytest.raises(ArtifactError, match="another run: plugins were fettle, now cca, fettle"):
        train(
            dataset,
            model="lightgcn",
            features=["content"],
            plugins=["fettle", "cca"],
            out=out,
            settings=SETTINGS,
            resume=True,
        )
    with pytest.raises(ArtifactError, match=r"plugin\.fettle: item_weight: was 0\.001, now 0\.1"):
        train_fettle(dataset, out, item_weight=0.1)


def test_the_order_of_plugins_does_not_matter(dataset: Dataset, tmp_path: Path) -> None:
    runs = [
        train(dataset, model="bpr", features=["content"], plugins=names, out=tmp_path / names[0], settings=SETTINGS)
        for names in (["cca", "uia"], ["uia", "cca"])
    ]
    assert runs[0].plan.difference(runs[1].plan) is None
    assert hashes(runs[0].path) == hashes(runs[1].path)


@pytest.mark.parametrize(
    ("plugins", "settings", "message"),
    [
        (["fetle"], {}, r"unknown plugin 'fetle'; did you mean 'fettle'\?"),
        (["uia", "UIA"], {}, "plugin 'uia' is named 2 times; name it once"),
        ([], {"plugin.fettle": {"item_weight": 1}}, "for plugin 'fettle', which is not attached; add --plugin fettle"),
        (
            ["uia"],
            {"plugin.uai": {}},
            r"unknown section 'plugin\.uai' of settings; allowed: model, training, plugin\.uia",
        ),
        (["uia"], {"plugin.uia": {"wieght": 1}}, r"unknown setting 'plugin\.uia\.wieght'; did you mean 'weight'"),
        (["fettle"], {}, "plugin 'fettle' needs item features and none are given; add --features NAME"),
    ],
)
def test_plugins_that_cannot_be_attached_are_refused_before_anything_is_written(
    dataset: Dataset, tmp_path: Path, plugins: list[str], settings: dict, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        train(dataset, model="bpr", out=tmp_path / "run", plugins=plugins, settings=settings)
    assert not (tmp_path / "run").exists()
