import json
import sys

import pytest
from datasets import small_dataset

from alignrec.studies.tuning.result import SELECTED_ON_TEST

pytest.importorskip("optuna")

SMALL = ("--set", "model.embedding_size=4", "--set", "training.epochs=1", "--no-defaults")
GRID = ("--space", "model.n_layers=[0,1]")


@pytest.fixture
def dataset(tmp_path):
    return small_dataset(tmp_path / "small").path


@pytest.fixture
def tune(command_line, dataset, tmp_path):
    def call(*words, out="tune"):
        return command_line("study", "tune", dataset, "--model", "lightgcn", "--out", tmp_path / out, *SMALL, *words)

    return call


def test_says_how_many_trials_there_are_then_the_best_and_what_to_do_next(tune, tmp_path):
    done = tune(*GRID)
    assert done.code == 0
    assert done.err.startswith("tuning lightgcn on small: 2 trials of 2 points, grid over model.n_layers x 2\ntrial 0 ")
    assert "best: trial " in done.out
    assert f"again: alignrec train {tmp_path / 'small'} --model lightgcn" in done.out
    assert f"next: alignrec evaluate {tmp_path / 'tune' / 'trials'}" in done.out
    assert SELECTED_ON_TEST not in done.out


def test_json_is_the_result_in_the_folder(tune, tmp_path):
    done = tune(*GRID, "--json")
    printed = json.loads(done.out)
    stored = json.loads((tmp_path / "tune" / "tune.json").read_text())
    assert {key: printed[key] for key in stored["result"]} == stored["result"]
    assert [trial["parameters"] for trial in printed["trials"]] == [{"model.n_layers": 0}, {"model.n_layers": 1}]
    assert stored["asked"]["seeds"] == [0]


def test_selecting_on_test_prints_a_warning(tune):
    done = tune(*GRID, "--select", "test")
    assert "selected on test: trial " in done.out
    assert SELECTED_ON_TEST in " ".join(done.out.split())


def test_ranges_seeds_and_samplers_are_read(tune):
    words = ("--space", "training.lr=log:1e-3..1e-1", "--space", "model.n_layers=0..3")
    done = tune(*words, "--sampler", "random", "--trials", "2", "--seeds", "1,2", "--json")
    trials = json.loads(done.out)["trials"]
    assert [set(trial["valid_by_seed"]) for trial in trials] == [{"1", "2"}] * 2
    assert all(1e-3 <= trial["parameters"]["training.lr"] <= 1e-1 for trial in trials)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--space", "model.n_layer=[1]"), "unknown setting 'model.n_layer'; did you mean 'n_layers'?"),
        (("--space", "n_layers=[1]"), "write SECTION.KEY=VALUE"),
        ((*GRID, "--seeds", "1;2"), "cannot read --seeds '1;2'; write whole numbers separated by commas"),
        ((*GRID, "--set", "model.n_layers=1"), "'model.n_layers' is fixed and searched"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_no_folder(tune, tmp_path, words, message):
    done = tune(*words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
    assert not (tmp_path / "tune").exists()


def test_without_optuna_one_line_names_what_to_install(tune, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = tune(*GRID)
    assert (done.code, done.err) == (
        2,
        "alignrec: tuning needs Optuna; install it with: pip install 'alignrec[tune]'\n",
    )
