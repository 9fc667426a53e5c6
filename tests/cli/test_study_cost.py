import json

from datasets import small_dataset


def test_costs_are_printed_and_written(command_line, tmp_path):
    data = small_dataset(tmp_path / "small")
    words = ("study", "cost", data.path, "--model", "bpr", "--model", "bm3", "--features", "content")
    quick = ("--steps", 1, "--repeats", 1)
    done = command_line(*words, *quick, "--out", tmp_path / "cost.json", "--format", "markdown")
    assert (done.code, done.err) == (0, "")
    assert "| bpr | 3,200 |" in done.out
    written = json.loads((tmp_path / "cost.json").read_text())
    assert [entry["model"] for entry in written["models"]] == ["lightgcn", "bpr", "bm3"]
    assert json.loads(command_line(*words, *quick, "--json").out)["models"][1]["parameters"] == 3200


def test_a_model_without_its_features_is_wrong_use(command_line, tmp_path):
    done = command_line("study", "cost", small_dataset(tmp_path / "small").path, "--model", "vbpr")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "needs item features" in done.err
