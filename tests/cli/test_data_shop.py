import json
import sys

import pytest

from alignrec.cli import main
from alignrec.data import Dataset


def run(monkeypatch, *words):
    """Run the command line; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["alignrec", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_a_shop_is_drawn_and_described(monkeypatch, capsys, tmp_path):
    out = tmp_path / "shop"
    sizes = ("--items", 30, "--users", 12, "--set", "image_size=16", "--seed", 4)
    assert run(monkeypatch, "data", "shop", "--out", out, *sizes, "--json") == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)
    dataset = Dataset.load(out)
    assert (dataset.n_items, dataset.n_users, dataset.about["seed"]) == (30, 12, 4)


def test_an_existing_folder_is_left_alone(monkeypatch, capsys, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    assert run(monkeypatch, "data", "shop", "--out", tmp_path, "--items", 30) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "already exists" in error
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_setting_that_does_not_exist_is_wrong_use(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "data", "shop", "--out", tmp_path / "shop", "--set", "tastes=1") == 2
    assert "did you mean 'taste'" in capsys.readouterr().err
    assert not (tmp_path / "shop").exists()
