import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alignrec.cli.app import app, main
from alignrec.data import Dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "".join(f"{u:03d};{i};{5 if i < 6 else 2}\n" for u in range(8) for i in range(8))
    (tmp_path / "log.txt").write_text("who;what;stars\n" + rows)
    (tmp_path / "things.csv").write_text("code,name,plot\n" + "".join(f"{i},Thing {i},About {i}.\n" for i in range(7)))
    return tmp_path


def options(folder: Path) -> list[str]:
    columns = ["--user-column", "who", "--item-column", "what", "--rating-column", "stars", "--separator", ";"]
    items = ["--items", str(folder / "things.csv"), "--item-id-column", "code", "--text-columns", "plot"]
    return ["data", "import", "tables", str(folder / "log.txt"), *columns, *items, "--out", str(folder / "out")]


def test_import_tables_reads_what_the_options_name(folder: Path) -> None:
    result = CliRunner().invoke(app, [*options(folder), "--min-rating", "4", "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert (printed["users"], printed["items"], printed["interactions"]) == (8, 6, 48)
    assert "8 interactions name 1 items that the item file lacks: kept" in result.stderr
    dataset = Dataset.load(folder / "out")
    assert dataset.users.ids[0] == "000"
    assert dataset.catalogue.frame.row(0)[:2] == ("0", "Thing 0")
    assert dataset.catalogue.frame["description"][0] == "About 0."


def test_an_unknown_item_can_end_the_import_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["alignrec", *options(folder), "--unknown-items", "fail"])
    with pytest.raises(SystemExit, match="1"):
        main()
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "log.txt line 9: item '7' is not in things.csv" in printed
    assert not (folder / "out").exists()


def test_items_without_a_picture_are_reported_when_dropped(folder: Path) -> None:
    (folder / "pictures").mkdir()
    (folder / "pictures" / "1.jpg").touch()
    (folder / "pictures" / "2.jpg").touch()
    command = [*options(folder), "--images", str(folder / "pictures"), "--require-image", "--core", "0"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "dropped 6 items without a picture and their 48 interactions" in result.stderr
    assert Dataset.load(folder / "out").items.ids == ("1", "2")
