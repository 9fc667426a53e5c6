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
        ([], 2, "--model NAME is missing; give DATASET and --model NAME, or --from RUN"),
        (["--model", "bpr", "--dataset-folder", "elsewhere"], 2, "--dataset-folder goes with --from RUN"),
        (["--model", "bpr", "--track", "neptune"], 2, "unknown tracker 'neptune'; allowed: tensorboard, mlflow, wandb"),
        (["--model", "bpr", "--track-to", "logs"], 2, "cannot tell which tracker --track-to 'logs' is for"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_no_folder(command_line, dataset, tmp_path, words, code, message):
    done = command_line("train", dataset, "--out", tmp_path / "run", *words)
    assert (done.code, done.err.count("\n")) == (code, 1)
    assert message in done.err
    assert not (tmp_path / "run").exists()


def test_a_run_is_trained_once_more_from_its_folder(command_line, dataset, tmp_path):
    first, again = tmp_path / "first", tmp_path / "again"
    words = ("--model", "lightgcn", "--features", "content", "--plugin", "cca", "--seed", "3")
    command_line("train", dataset, "--out", first, *words, *SMALL)
    done = command_line("train", "--from", first, "--out", again)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("lightgcn + cca: best epoch")
    for name in ("model.safetensors", "representations.safetensors", "metrics.jsonl", "report.json"):
        assert (again / name).read_bytes() == (first / name).read_bytes()
    assert command_line("train", "--from", first, "--out", again).code == 1
    assert command_line("train", "--from", first, "--out", again, "--resume").code == 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["DATASET"], "DATASET"),
        (["--model", "bpr"], "--model"),
        (["--features", "content", "--seed", "0"], "--features, --seed"),
        (["--plugin", "uia", "--set", "training.lr=1"], "--plugin, --set"),
    ],
)
def test_what_decides_the_results_is_not_given_beside_from(command_line, dataset, tmp_path, words, named):
    first = tmp_path / "first"
    command_line("train", dataset, "--model", "bpr", "--out", first, *SMALL)
    done = command_line("train", *words, "--from", first, "--out", tmp_path / "again")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"--from takes {named} from the run" in done.err
    assert not (tmp_path / "again").exists()


def test_a_moved_dataset_is_given_by_its_folder(command_line, dataset, tmp_path):
    first = tmp_path / "first"
    command_line("train", dataset, "--model", "bpr", "--out", first, *SMALL)
    dataset.rename(tmp_path / "moved")
    done = command_line("train", "--from", first, "--out", tmp_path / "again")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "give it by --dataset-folder" in done.err
    words = ("--dataset-folder", tmp_path / "moved", "--threads", "1", "--device", "cpu")
    assert command_line("train", "--from", first, "--out", tmp_path / "again", *words).code == 0


def test_a_run_is_followed_by_a_tracker_where_one_says(command_line, dataset, tmp_path):
    words = ("--track", "tensorboard", "--track-to", tmp_path / "logs")
    done = command_line("train", dataset, "--model", "bpr", "--out", tmp_path / "run", *SMALL, *words)
    assert (done.code, done.err) == (0, "")
    assert [file.name[:20] for file in (tmp_path / "logs" / "run").iterdir()] == ["events.out.tfevents."]


def test_what_a_figure_needs_of_every_epoch_is_kept_where_it_is_asked_for(command_line, tmp_path):
    data = small_dataset(tmp_path / "small").path
    words = ("train", data, "--model", "freedom", "--features", "content", "--set", "training.epochs=2")
    assert command_line(*words, "--record", "forgetting", "--out", tmp_path / "run").code == 0
    assert (tmp_path / "run" / "forgetting.jsonl").read_text().count("\n") == 2
    refused = command_line(*words, "--record", "memory", "--out", tmp_path / "other")
    assert refused.code == 2
    assert "unknown trace 'memory'" in refused.err
    refused = command_line(*words, "--record", "directions", "--out", tmp_path / "other")
    assert refused.code == 2
    assert "train it with --plugin fettle" in refused.err
    assert not (tmp_path / "other").exists()
