import json

import pytest
from datasets import small_dataset

from alignrec.evaluation import DEFAULT_METRICS
from alignrec.studies import evaluate, train


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Read only: a dataset in a folder called baby, and an evaluated run of bpr."""
    root = tmp_path_factory.mktemp("cli")
    data = small_dataset(root / "baby")
    run = train(data, model="bpr", out=root / "bpr", settings={"training": {"epochs": 1}})
    evaluate(run, metrics=DEFAULT_METRICS)
    return data, run


def test_the_list_names_every_table_and_what_it_needs(command_line):
    done = command_line("study", "reproduce", "--list", "--json")
    tables = {entry["address"]: entry for entry in json.loads(done.out)["tables"]}
    assert (done.code, done.err) == (0, "")
    assert tables["cikm24/table2"]["datasets"] == ["Baby", "Sports", "Electronics"]
    assert tables["cikm24/figure5"]["kind"] == "none"
    assert (
        "| cikm24/table7 | AlignRec | Hyper-parameters | not computed |"
        in command_line("study", "reproduce", "--list", "--format", "markdown").out
    )


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "csv", "json"])
def test_a_run_stands_beside_the_published_figures_in_every_form(command_line, made, tmp_path, form):
    data, run = made
    words = ("study", "reproduce", "cikm24/table2", "--models", "bpr", "--run", f"bpr={run.path}")
    done = command_line(*words, "--dataset", data.path, "--out", tmp_path / "out", "--format", form)
    assert (done.code, done.err) == (0, "")
    assert "0.0575" in done.out
    if form == "json":
        table = json.loads(done.out)["tables"][0]
        assert table["rows"] == [{"model": "BPR", "runs": {"0": str(run.path)}, "settings": run.plan.settings}]
        assert any(note.startswith("not the same data: users 30 (published 19,445)") for note in table["notes"])


def test_settings_of_all_rows_and_of_one_model_find_the_run_they_describe(command_line, made, tmp_path):
    settings = {"training": {"epochs": 2}, "model": {"embedding_size": 8}}
    run = train(made[0], model="bpr", out=tmp_path / "runs" / "mine", seed=3, settings=settings)
    evaluate(run, metrics=DEFAULT_METRICS)
    words = ("study", "reproduce", "cikm24/table2", "--dataset", f"baby={made[0].path}", "--models", "bpr", "--json")
    chosen = ("--set", "training.epochs=2", "--set", "bpr:model.embedding_size=8", "--set", "lightgcn:model.n_layers=1")
    done = command_line(*words, *chosen, "--seeds", "3", "--runs", tmp_path / "runs", "--out", tmp_path / "out")
    row = json.loads(done.out)["tables"][0]["rows"][0]
    assert row["runs"] == {"3": str(tmp_path / "runs" / "mine")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cikm24/table2",), "--out is missing"),
        ((), "the table is missing"),
        (("cikm24/table2", "--out", "x"), "no dataset is given for cikm24/table2; it has Baby, Sports, Electronics"),
        (("cikm24/figure5", "--out", "x", "--dataset", "y"), "is not computed"),
        (("cikm24/table2", "--out", "x", "--dataset", "=y"), "cannot read --dataset '=y'"),
        (("cikm24/table2", "--out", "x", "--run", "bpr"), "cannot read --run 'bpr'"),
        (("cikm24/table2", "--out", "x", "--seeds", "a"), "cannot read --seeds 'a'; write whole numbers"),
        (("--list", "--json", "--format", "csv"), "give one of them"),
        (("--list", "--format", "csv"), "no CSV form"),
    ],
)
def test_wrong_use_is_one_line(command_line, words, message):
    done = command_line("study", "reproduce", *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
