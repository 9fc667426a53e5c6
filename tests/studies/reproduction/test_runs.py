import shutil
from pathlib import Path

import pytest
from datasets import small_dataset

from alignrec.data import Dataset
from alignrec.errors import UsageError
from alignrec.evaluation import DEFAULT_METRICS
from alignrec.studies import evaluate, train
from alignrec.studies.reproduction.features import FeatureSets
from alignrec.studies.reproduction.recipes import RowRecipe
from alignrec.studies.reproduction.runs import Training, reuse_runs, row_settings, train_rows

METRICS = ("recall@10", "recall@20")
BPR = RowRecipe("BPR", "bpr")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Read only: a dataset, and in one folder two settings of bpr, one of them with two seeds, and one of alignrec."""
    root = tmp_path_factory.mktemp("reuse")
    data = small_dataset(root / "data")
    for name, model, seed, settings in (
        ("good", "bpr", 0, {"training": {"epochs": 6, "lr": 0.05}}),
        ("good-1", "bpr", 1, {"training": {"epochs": 6, "lr": 0.05}}),
        ("bad", "bpr", 0, {"training": {"epochs": 1, "lr": 1e-9}}),
        ("ablated", "alignrec", 0, {"training": {"epochs": 1}, "model": {"reg_weight": 0.0}}),
    ):
        features = ["content"] if model == "alignrec" else []
        run = train(data, model=model, out=root / "runs" / name, seed=seed, settings=settings, features=features)
        evaluate(run, metrics=DEFAULT_METRICS)
    return data, root / "runs"


def test_the_best_settings_by_validation_are_taken_with_all_their_seeds(made):
    data, runs = made
    found = reuse_runs(runs, data, [BPR, RowRecipe("NCL", "ncl")], FeatureSets(data, {}), METRICS)
    assert sorted(run.path.name for run in found.runs["BPR"]) == ["good", "good-1"]
    assert found.left_out == {"NCL": f"no run of it in {runs}"}


def test_a_run_of_a_variant_is_left_to_the_row_of_that_variant(made):
    data, runs = made
    whole = RowRecipe("AlignRec", "alignrec", features="AlignRec")
    variant = RowRecipe("w/o REG", "alignrec", fixed={"model.reg_weight": 0.0}, features="AlignRec")
    sets = FeatureSets(data, {"AlignRec": ("content",)})
    found = reuse_runs(runs, data, [whole, variant], sets, METRICS)
    assert list(found.runs) == ["w/o REG"]
    assert list(found.left_out) == ["AlignRec"]


def test_a_run_with_other_features_is_not_of_the_row(made):
    data, runs = made
    row = RowRecipe("AlignRec", "alignrec", features="AlignRec")
    assert reuse_runs(runs, data, [row], FeatureSets(data, {"AlignRec": ("x",)}), METRICS).runs == {}


def test_what_was_not_evaluated_is_evaluated(made, tmp_path):
    data, runs = made
    shutil.copytree(runs / "good", tmp_path / "runs" / "good")
    (tmp_path / "runs" / "good" / "per_user.parquet").unlink()
    found = reuse_runs(tmp_path / "runs", data, [BPR], FeatureSets(data, {}), METRICS)
    assert set(METRICS) <= set(found.runs["BPR"][0].report()["test"])
    with pytest.raises(UsageError, match="nowhere is not a folder"):
        reuse_runs(Path("nowhere"), data, [BPR], FeatureSets(data, {}), METRICS)


def test_runs_that_are_there_are_not_trained_again(made, tmp_path):
    data, runs = made
    dataset: Dataset = data
    row = row_settings(BPR, FeatureSets(data, {}), {"training.epochs": 6, "training.lr": 0.05})
    before = sorted(path.name for path in runs.iterdir())
    how = Training(tmp_path / "study", runs, METRICS, seeds=(0, 1))
    found = train_rows("x", ("d", dataset.path), [row], how)
    assert sorted(run.path.name for run in found.runs["BPR"]) == ["good", "good-1"]
    assert sorted(path.name for path in runs.iterdir() if not path.name.startswith(".")) == before
    assert (found.failures, found.left_out) == ([], {})


def test_no_row_is_no_study(tmp_path):
    assert train_rows("x", ("d", tmp_path), [], Training(tmp_path, tmp_path, METRICS)).runs == {}
