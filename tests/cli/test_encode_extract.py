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


def test_features_are_kept_in_the_dataset(monkeypatch, capsys, shop):
    assert run(monkeypatch, "encode", "extract", "tfidf", shop, "--name", "words", "--set", "components=5") == 0
    assert "words: 30 items x 5, text" in capsys.readouterr().out
    assert Dataset.load(shop).features("words").matrix.shape == (30, 5)


def test_machines_are_told_everything(monkeypatch, capsys, shop):
    assert run(monkeypatch, "encode", "extract", "pixels", shop, "--seed", 2, "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["name"], about["items"], about["provenance"]["seed"]) == ("pixels", 30, 2)
    assert about["hash"] == Dataset.load(shop).features("pixels").content_hash


def test_a_broken_picture_is_reported_and_not_fatal(monkeypatch, capsys, shop):
    Dataset.load(shop).image_path(0).write_bytes(b"")
    assert run(monkeypatch, "encode", "extract", "pixels", shop) == 0
    assert "1 broken" in capsys.readouterr().out


def test_an_unknown_encoder_is_wrong_use(monkeypatch, capsys, shop):
    assert run(monkeypatch, "encode", "extract", "resnet", shop) == 2
    assert capsys.readouterr().err == "alignrec: unknown encoder 'resnet'; built in: pixels, tfidf\n"


def test_a_folder_that_is_no_dataset_fails_in_one_line(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "encode", "extract", "pixels", tmp_path / "nowhere") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_without_an_encoder_fails_in_one_line(monkeypatch, capsys, shop, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, "encode", "extract", tmp_path / "empty", shop) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("encoder", ["tfidf", "."])
def test_a_name_that_cannot_be_saved_is_refused_before_anything_is_read(monkeypatch, capsys, tmp_path, encoder):
    assert run(monkeypatch, "encode", "extract", encoder, tmp_path / "nowhere", "--name", "a/b") == 1
    assert capsys.readouterr().err.startswith("alignrec: feature name 'a/b' is not usable")
