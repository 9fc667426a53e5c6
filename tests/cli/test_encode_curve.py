import json
import sys

import pytest

from alignrec.cli import main
from alignrec.data import Dataset, ShopSettings, draw_shop
from alignrec.encoders import extract_builtin
from alignrec.features import save_features


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["alignrec", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.fixture
def encoder(tmp_path):
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps({"training": {"round_steps": 5}}))
    line = {"epoch": 1, "valid": {"ica": -5.0, "mlm": 5.0, "zero-shot cls recall@20": 0.1}}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    return folder


def test_features_of_a_dataset_are_drawn_beside_the_curve(monkeypatch, capsys, tmp_path, encoder):
    pytest.importorskip("matplotlib")
    shop = draw_shop(tmp_path / "shop", settings=ShopSettings(items=40, users=20, pictures=False))
    save_features(tmp_path / "shop" / "features", extract_builtin("tfidf", Dataset.load(shop.path)))
    out = tmp_path / "curve.svg"
    words = ("--dataset", tmp_path / "shop", "--features", "tfidf")
    assert run(monkeypatch, "encode", "curve", encoder, "--out", out, *words) == 0
    assert capsys.readouterr().out == f"drawn: {out}\n"
    assert "<!-- tfidf -->" in out.read_text()


def test_features_without_their_dataset_are_wrong_use(monkeypatch, capsys, tmp_path, encoder):
    assert run(monkeypatch, "encode", "curve", encoder, "--out", tmp_path / "c.png", "--features", "tfidf") == 2
    assert capsys.readouterr().err.endswith("name their dataset too, with --dataset\n")
