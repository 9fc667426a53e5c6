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


def test_plugins_are_named_one_by_one_and_set_by_their_section(command_line, dataset, tmp_path):
    words = ("--features", "content", "--plugin", "uia", "--plugin", "cca", "--set", "plugin.cca.weight=0.5")
    done = command_line("train", dataset, "--model", "lightgcn", "--out", tmp_path / "run", *SMALL, *words)
    assert done.code == 0
    assert "lightgcn + cca + uia: best epoch" in done.out
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert settings["plugin.cca"] == {"weight": 0.5, "temperature": 0.2}
    assert settings["plugin.uia"] == {"weight": 0.1}


def test_the_help_names_every_model_and_plugin(command_line):
    from alignrec.losses import PLUGINS
    from alignrec.models import MODELS

    help_text = " ".join(command_line("train", "--help").out.split())
    assert ", ".join(MODELS) in help_text
    assert ", ".join(PLUGINS) in help_text


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "alinrec"], 2, "unknown model 'alinrec'; did you mean 'alignrec'?"),
        (["--model", "bpr", "--set", "training.lrr=1"], 2, "unknown setting 'training.lrr'; did you mean 'lr'?"),
        (["--model", "bpr", "--set", "lr=1"], 2, "write SECTION.KEY=VALUE"),
        (["--model", "alignrec"], 2, "add --features NAME"),
        (["--model", "alignrec", "--features", "image"], 1, "no features called 'image' here; there are: content"),
        (["--model", "bpr", "--device", "tpu"], 2, "'tpu'"),
        (["--model", "bpr", "--plugin", "fetle"], 2, "unknown plugin 'fetle'; did you mean 'fettle'?"),
        (["--model", "bpr", "--plugin", "fettle"], 2, "plugin 'fettle' needs item features"),
        (["--model", "bpr", "--set", "plugin.uia.weight=1"], 2, "not attached; add --plugin uia"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_no_folder(command_line, dataset, tmp_path, words, code, message):
    done = command_line("train", dataset, "--out", tmp_path / "run", *words)
    assert (done.code, done.err.count("\n")) == (code, 1)
    assert message in done.err
    assert not (tmp_path / "run").exists()
