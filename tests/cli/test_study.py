import json

import pytest
from datasets import small_dataset

from alignrec.studies import evaluate, train


@pytest.fixture
def run(tmp_path):
    dataset = small_dataset(tmp_path / "small")
    return train(dataset, model="bpr", out=tmp_path / "run", settings={"training": {"epochs": 1}})


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "csv", "json"])
def test_prints_a_run_in_every_form(command_line, run, form):
    evaluate(run)
    done = command_line("study", "compare", run.path, "--format", form)
    assert (done.code, done.err) == (0, "")
    assert "bpr" in done.out
    if form == "json":
        assert done.out == command_line("study", "compare", run.path, "--json").out
        assert json.loads(done.out)["split"] == "test"


def test_a_run_that_was_not_evaluated_is_one_line_that_names_the_command(command_line, run):
    done = command_line("study", "compare", run.path)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert f"alignrec evaluate {run.path}" in done.err


def test_two_forms_at_once_are_wrong_use(command_line, run):
    assert command_line("study", "compare", run.path, "--json", "--format", "csv").code == 2
