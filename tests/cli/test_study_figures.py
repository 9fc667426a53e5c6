import shutil

import polars as pl
import pytest
from datasets import small_dataset

from alignrec.studies import evaluate, train

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Read only: two runs that differ in a weight, with FETTLE and evaluated."""
    root = tmp_path_factory.mktemp("runs")
    data = small_dataset(root / "data")
    made = []
    for weight in (0.001, 0.01):
        settings = {
            "training": {"epochs": 2},
            "model": {"content_weight": weight},
            "plugin.fettle": {"user_item_prototypes": 8, "content_prototypes": 8},
        }
        words = {"model": "freedom", "features": ["content"], "plugins": ["fettle"]}
        made.append(train(data, out=root / str(weight), settings=settings, **words))
        evaluate(made[-1], metrics=("recall@5",))
    return [run.path for run in made]


KINDS = {
    "training": ["--terms", "total,recall@20"],
    "sensitivity": ["--setting", "model.content_weight", "--metrics", "recall@5"],
    "vectors": ["--sample", "8", "--label", "weak", "--label", "strong"],
    "long-tail": ["--metrics", "recall@5", "--long-tail", "9"],
    "directions": ["--train-again"],
    "forgetting": ["--train-again", "--views", "final"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_leaves_a_picture_vectors_and_numbers(command_line, runs, kind, tmp_path):
    copies = [shutil.copytree(run, tmp_path / run.name) for run in runs]
    out = tmp_path / "out"
    done = command_line("study", "figures", kind, *copies, "--out", out, *KINDS[kind])
    files = [out / f"{kind}.{end}" for end in ("png", "svg", "csv")]
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [f"written: {file}" for file in files]
    assert sorted(out.iterdir()) == sorted(files)
    assert len(pl.read_csv(files[2])) > 1


def test_the_help_lists_all_kinds(command_line):
    shown = command_line("study", "figures", "--help").out
    assert all(f" {kind} " in shown for kind in KINDS)


def test_a_run_without_a_record_is_one_line_that_names_the_option(command_line, runs, tmp_path):
    done = command_line("study", "figures", "directions", runs[0], "--out", tmp_path / "out")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "add --train-again" in done.err
    assert not (tmp_path / "out").exists()


def test_a_label_too_few_is_wrong_use(command_line, runs, tmp_path):
    done = command_line("study", "figures", "training", *runs, "--out", tmp_path / "out", "--label", "one")
    assert done.code == 2
    assert not (tmp_path / "out").exists()
