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


def test_an_unknown_size_or_setting_is_wrong_use(monkeypatch, capsys, shop, tmp_path):
    assert pretrain(monkeypatch, shop, tmp_path / "ica", "--preset", "tinny") == 2
    assert "did you mean 'tiny'?" in capsys.readouterr().err
    assert pretrain(monkeypatch, shop, tmp_path / "ica", "--set", "ica.pass=joint") == 2
    assert "unknown setting 'ica.pass'; did you mean 'passes'?" in capsys.readouterr().err
    assert not (tmp_path / "ica").exists()
