import json
import sys

import pytest

from alignrec.cli import main
from alignrec.data import Dataset, ShopSettings, draw_shop


@pytest.fixture
def shop(tmp_path):
    draw_shop(tmp_path / "shop", settings=ShopSettings(items=30, users=10, image_size=16))
    return tmp_path / "shop"


def run(monkeypatch, *words):
    """Run the command line; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["alignrec", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


SMALL = ("encoder.layers=1", "encoder.width=16", "encoder.heads=2", "encoder.ffn=32", "encoder.image_size=16")
SMALL += ("training.steps=4", "training.round_steps=2", "training.batch_size=8")
SMALL += ("catalogue.visual_vocab=8", "catalogue.text_vocab=100", "catalogue.max_length=16")


def pretrain(monkeypatch, shop, out, *words):
    pytest.importorskip("sentencepiece")
    sets = [word for assignment in SMALL for word in ("--set", assignment)]
    return run(monkeypatch, "encode", "pretrain", shop, "--out", out, *sets, "--device", "cpu", *words)


def test_an_encoder_is_trained_and_its_features_kept_in_the_dataset(monkeypatch, capsys, shop, tmp_path):
    out = tmp_path / "ica"
    assert pretrain(monkeypatch, shop, out, "--seed", 3) == 0
    said = capsys.readouterr().out
    assert "held-out mlm" in said
    assert f"next: alignrec encode extract {out} {shop} --name ica" in said
    words = ("--set", "pooling=cls+bos", "--set", "post=center", "--device", "cpu")
    assert run(monkeypatch, "encode", "extract", out, shop, "--name", "mmenc", *words) == 0
    assert "mmenc: 30 items x 32, image+text" in capsys.readouterr().out
    assert Dataset.load(shop).features("mmenc").provenance["plan"]["seed"] == 3
    assert run(monkeypatch, "encode", "extract", out, shop, "--device", "cpu") == 0
    assert Dataset.load(shop).features("ica").matrix.shape == (30, 16)


def test_training_goes_on_only_when_asked_to(monkeypatch, capsys, shop, tmp_path):
    assert pretrain(monkeypatch, shop, tmp_path / "ica", "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert about["folder"] == str(tmp_path / "ica")
    assert pretrain(monkeypatch, shop, tmp_path / "ica") == 1
    assert "add --resume" in capsys.readouterr().err
    assert pretrain(monkeypatch, shop, tmp_path / "ica", "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out) == about


def test_a_run_starts_from_the_folder_of_another_and_says_what_was_taken(monkeypatch, capsys, shop, tmp_path):
    assert pretrain(monkeypatch, shop, tmp_path / "first") == 0
    assert "visual words: 100% of 8 used, perplexity" in capsys.readouterr().out
    steps = ("--set", "training.steps=2", "--set", "training.batch_size=8", "--set", "training.round_steps=2")
    words = ("--from", tmp_path / "first", "--recipe", "paper", "--set", "catalogue.max_length=16", *steps)
    out = tmp_path / "second"
    assert run(monkeypatch, "encode", "pretrain", shop, "--out", out, *words, "--device", "cpu") == 0
    said = capsys.readouterr().out
    assert "started from first: 55 tensors taken (0 missing, 0 unexpected, 0 misshaped, 0 resized," in said
    assert "text_embedding taken; mlm_head taken; mim_head taken" in said
    assert "losses before training: mlm" in said
    assert f"encoder of 1 x 16 in {out}: held-out mlm" in said
    assert "cls_words" not in said  # the paper's objective has no such term


def test_what_cannot_be_started_from_is_one_line_and_leaves_nothing(monkeypatch, capsys, shop, tmp_path):
    (tmp_path / "clip.pth").write_bytes(b"PK\x03\x04 cut off")
    start = ("encode", "pretrain", shop, "--out", tmp_path / "ica", "--device", "cpu")
    for option in ("--from", "--text-tokenizer", "--visual-tokenizer"):
        assert run(monkeypatch, *start, option, tmp_path / "clip.pth") == 1
        said = capsys.readouterr().err
        assert (said.count("\n"), "clip.pth is not a" in said) == (1, True)
    assert run(monkeypatch, *start, "--recipe", "quick") == 2
    assert "setting 'start.recipe' cannot be 'quick': Input should be 'scratch' or 'paper'" in capsys.readouterr().err
    assert run(monkeypatch, *start, "--recipe", "paper", "--set", "start.recipe=paper") == 2
    assert "start.recipe is given by --set and by its option; keep one" in capsys.readouterr().err
    assert not (tmp_path / "ica").exists()


def test_an_unknown_size_or_setting_is_wrong_use(monkeypatch, capsys, shop, tmp_path):
    assert pretrain(monkeypatch, shop, tmp_path / "ica", "--preset", "tinny") == 2
    assert "did you mean 'tiny'?" in capsys.readouterr().err
    assert pretrain(monkeypatch, shop, tmp_path / "ica", "--set", "ica.pass=joint") == 2
    assert "unknown setting 'ica.pass'; did you mean 'passes'?" in capsys.readouterr().err
    assert not (tmp_path / "ica").exists()
