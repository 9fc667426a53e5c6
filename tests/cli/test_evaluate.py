import json

import pytest
from datasets import small_dataset

from alignrec.studies import train


@pytest.fixture
def run(tmp_path):
    dataset = small_dataset(tmp_path / "small")
    return train(dataset, model="bpr", out=tmp_path / "run", settings={"training": {"epochs": 1}}).path


def test_prints_both_splits_of_the_model_and_of_popularity(command_line, run):
    done = command_line("evaluate", run, "--metric", "recall@5")
    assert done.code == 0
    assert done.out.count("valid (30 users)") == 2
    assert done.out.count("test (30 users)") == 2
    assert "popularity" in done.out


def test_json_has_what_report_json_has(command_line, run):
    done = command_line("evaluate", run, "--json")
    printed, stored = json.loads(done.out), json.loads((run / "report.json").read_text())
    assert printed["model"] == {split: stored[split] for split in ("valid", "test")}
    assert printed["popularity"] == stored["popularity"]


def test_item_knn_is_measured_where_it_is_asked_for_and_compared(command_line, run):
    assert "item_knn" not in json.loads(command_line("evaluate", run, "--json").out)
    assert "ItemKNN" in command_line("evaluate", run, "--item-knn").out
    measured = json.loads((run / "report.json").read_text())["item_knn"]["test"]["recall@20"]
    compared = json.loads(command_line("study", "compare", run, "--popularity", "--json").out)
    assert compared["tables"][0]["untrained"]["ItemKNN"]["recall@20"] == measured > 0


def test_an_unknown_metric_is_wrong_use(command_line, run):
    done = command_line("evaluate", run, "--metric", "accuracy@5")
    assert done.code == 2
    assert "accuracy" in done.err


def test_a_moved_dataset_is_found_by_the_option(command_line, run, tmp_path):
    (tmp_path / "small").rename(tmp_path / "elsewhere")
    lost = command_line("evaluate", run)
    assert (lost.code, lost.err.count("\n")) == (1, 1)
    assert command_line("evaluate", run, "--dataset", tmp_path / "elsewhere").code == 0
