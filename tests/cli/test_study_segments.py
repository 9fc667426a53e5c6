import csv
import io
import json

import pytest
from datasets import small_dataset

from alignrec.data import ShopSettings, draw_shop
from alignrec.studies import evaluate, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Read only."""
    root = tmp_path_factory.mktemp("segments")
    made = train(small_dataset(root / "small"), model="bpr", out=root / "run", settings={"training": {"epochs": 1}})
    evaluate(made)
    return made


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "csv"])
def test_prints_every_segment_in_every_form(command_line, run, form):
    done = command_line("study", "segments", run.path, "--long-tail", 9, "--format", form)
    assert (done.code, done.err) == (0, "")
    assert "users 0-8" in done.out


def test_json_has_a_record_per_segment_and_metric(command_line, run):
    done = command_line("study", "segments", run.path, "--metrics", "recall@5", "--json")
    assert {line["segment"] for line in json.loads(done.out)["segments"]} >= {"all", "other items", "users 6-10"}


def test_two_forms_at_once_are_wrong_use(command_line, run):
    assert command_line("study", "segments", run.path, "--json", "--format", "csv").code == 2


def test_runs_on_two_datasets_are_one_csv(command_line, run, tmp_path):
    shop = draw_shop(tmp_path / "shop", settings=ShopSettings(items=40, users=30, image_size=16))
    other = train(shop, model="bpr", out=tmp_path / "run", settings={"training": {"epochs": 1}})
    evaluate(other)
    done = command_line("study", "segments", run.path, other.path, "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(done.out)))
    assert {None, ""}.isdisjoint(value for line in lines for value in (line["segment"], line["mean"]))
    assert {line["segment"] for line in lines} >= {"all", "other items"}
    assert sum(line["segment"] == "all" for line in lines) == 4
