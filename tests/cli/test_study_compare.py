import json

import pytest
from datasets import small_dataset

from alignrec.studies import evaluate, train


@pytest.fixture
def study_file(tmp_path):
    data = small_dataset(tmp_path / "small").path
    rows = "[{label: mine, model: bpr, settings: {training.epochs: 1}}]"
    (tmp_path / "s.yaml").write_text(f"name: n\ndatasets: {{d: {data}}}\nrows: {rows}\n")
    return tmp_path / "s.yaml"


def test_a_study_is_run_and_its_table_printed_and_running_it_again_makes_nothing_new(
    command_line, study_file, tmp_path
):
    asked = ("study", "compare", study_file, "--out", tmp_path / "out", "--format", "markdown")
    done = command_line(*asked)
    assert done.code == 0
    assert "| mine | 1 |" in done.out
    assert done.out == (tmp_path / "out" / "table.md").read_text()
    assert "mine on d, seed 0: done" in done.err
    assert "done" not in command_line(*asked).err


def test_a_run_that_fails_leaves_its_row_empty_and_the_command_says_so(command_line, study_file, tmp_path):
    broken = "{label: broken, model: bpr, settings: {training.lr: 1e30, model.reg_weight: 1e30}}"
    study_file.write_text(study_file.read_text().replace("rows: [", f"rows: [{broken}, "))
    done = command_line("study", "compare", study_file, "--out", tmp_path / "out", "--format", "markdown")
    assert done.code == 1
    assert "| mine | 1 |" in done.out
    assert "failed: broken on d, seed 0: " in done.err


def test_popularity_is_a_row_that_is_not_tested(command_line, tmp_path):
    data = small_dataset(tmp_path / "small")
    run = train(data, model="bpr", out=tmp_path / "run", settings={"training": {"epochs": 1}})
    evaluate(run)
    found = json.loads(command_line("study", "compare", run.path, "--popularity", "--json").out)
    assert found["tables"][0]["untrained"]["popularity"]["recall@20"] == run.report()["popularity"]["test"]["recall@20"]
    assert "popularity" in command_line("study", "compare", run.path, "--popularity", "--format", "csv").out
    assert "popularity" not in command_line("study", "compare", run.path, "--format", "csv").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{file}"], "--out is missing"),
        (["{file}", "run", "--out", "o"], "is a study; give it alone"),
        (["{file}", "--out", "o", "--split", "valid"], "--split and --baseline are of runs"),
        (["run", "--out", "o"], "--out is of a study; give its YAML file"),
        (["{file}", "--out", "o", "--dataset", "d"], "cannot read --dataset 'd'; write NAME=FOLDER"),
    ],
)
def test_what_does_not_go_together_is_wrong_use(command_line, study_file, words, message):
    done = command_line("study", "compare", *(word.format(file=study_file) for word in words))
    assert done.code == 2
    assert message in done.err
