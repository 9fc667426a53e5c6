import json

import pytest
from datasets import small_dataset

SMALL = ("--set", "model.embedding_size=8", "--set", "training.epochs=2")


@pytest.fixture
def dataset(tmp_path):
    return small_dataset(tmp_path / "small").path


def test_trains_and_says_what_to_do_next(command_line, dataset, tmp_path):
    done = command_line("train", dataset, "--model", "lightgcn", "--out", tmp_path / "run", *SMALL)
    assert done.code == 0
    assert "lightgcn: best epoch" in done.out
    assert f"next: alignrec evaluate {tmp_path / 'run'}" in done.out


def test_json_is_the_report(command_line, dataset, tmp_path):
    options = ("--features", "content", "--seed", "4", "--json")
    done = command_line("train", dataset, "--model", "alignrec", "--out", tmp_path / "run", *SMALL, *options)
    printed = json.loads(done.out)
    stored = json.loads((tmp_path / "run" / "report.json").read_text())
    assert {key: printed[key] for key in stored} == stored
    plan = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (plan["seed"], plan["model"], list(plan["features"])) == (4, "alignrec", ["content"])
    assert plan["settings"]["training"]["epochs"] == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "alinrec"], 2, "unknown model 'alinrec'; did you mean 'alignrec'?"),
        (["--model", "bpr", "--set", "training.lrr=1"], 2, "unknown setting 'training.lrr'; did you mean 'lr'?"),
        (["--model", "bpr", "--set", "lr=1"], 2, "write SECTION.KEY=VALUE"),
        (["--model", "alignrec"], 2, "add --features NAME"),
        (["--model", "alignrec", "--features", "image"], 1, "no features called 'image' here; there are: content"),
        (["--model", "bpr", "--device", "tpu"], 2, "'tpu'"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_no_folder(command_line, dataset, tmp_path, words, code, message):
    done = command_line("train", dataset, "--out", tmp_path / "run", *words)
    assert (done.code, done.err.count("\n")) == (code, 1)
    assert message in done.err
    assert not (tmp_path / "run").exists()
