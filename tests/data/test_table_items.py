from pathlib import Path

import polars as pl
import pytest

from alignrec.data.raw import ITEM_COLUMNS, SkipLog
from alignrec.data.table_items import empty_items, locate_pictures, read_items, with_existing_pictures
from alignrec.data.table_settings import TableSettings
from alignrec.errors import DataError

CSV = "sku,name,maker,tags,short,long,photo\n007,Red Mug,Kiln,Home|Kitchen,A mug.,Holds tea.,a.png\n8,Cup,,,,Small.,\n"
NAMED = TableSettings(item_id="sku", brand="maker", categories="tags", text_columns=("short", "long"), image="photo")


def write(folder: Path, content: str, name: str = "items.csv") -> Path:
    (folder / name).write_text(content, encoding="utf-8")
    return folder / name


def test_columns_are_read_under_the_users_names(tmp_path: Path) -> None:
    frame = read_items(write(tmp_path, CSV), NAMED, "item_id", SkipLog())
    assert frame.schema == pl.Schema(ITEM_COLUMNS)
    assert frame.rows() == [
        ("007", "Red Mug", "Kiln", ["Home", "Kitchen"], "A mug.\nHolds tea.", "a.png"),
        ("8", "Cup", None, None, "Small.", None),
    ]


def test_the_separator_may_be_another_than_that_of_the_suffix(tmp_path: Path) -> None:
    file = write(tmp_path, "item_id;title\n1;Mug, red\n")
    with pytest.raises(DataError, match=r"it has: item_id;title; .*or the separator with --item-separator"):
        read_items(file, TableSettings(), "item_id", SkipLog())
    assert read_items(file, TableSettings(item_separator=";"), "item_id", SkipLog())["title"].to_list() == ["Mug, red"]


def test_json_lines_may_hold_lists(tmp_path: Path) -> None:
    line = '{"item_id": 7, "title": "Mug", "categories": ["Home", "Tea | Coffee"], "description": ["One.", "Two."]}\n'
    frame = read_items(write(tmp_path, line, "items.jsonl"), TableSettings(), "item_id", SkipLog())
    assert frame.rows() == [("7", "Mug", None, ["Home", "Tea | Coffee"], "One. Two.", None)]


def test_the_id_column_of_the_interactions_is_looked_for_first(tmp_path: Path) -> None:
    file = write(tmp_path, "item_id,code\n1,A\n")
    assert read_items(file, TableSettings(), "code", SkipLog())["item_id"].to_list() == ["A"]
    assert read_items(file, TableSettings(), "other", SkipLog())["item_id"].to_list() == ["1"]


def test_a_missing_column_is_named_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column of item ids; it has: sku, .* name one with --item-id-column"):
        read_items(write(tmp_path, CSV), TableSettings(), "item_id", SkipLog())
    with pytest.raises(DataError, match=r"no column 'plot' for the texts; .*--text-columns"):
        read_items(write(tmp_path, CSV), TableSettings(item_id="sku", text_columns=("plot",)), "item_id", SkipLog())


def test_a_repeated_item_is_an_error_or_skipped(tmp_path: Path) -> None:
    file = write(tmp_path, "item_id,title\n1,first\n2,other\n1,second\n")
    with pytest.raises(DataError, match=r"items\.csv line 4 \('1'\): the item has a row already; keep one row"):
        read_items(file, TableSettings(), "item_id", SkipLog())
    skipped = SkipLog("skip")
    assert read_items(file, TableSettings(), "item_id", skipped)["title"].to_list() == ["first", "other"]
    assert skipped.total == 1


def test_an_empty_item_id_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items\.csv line 3: column 'item_id' is empty"):
        read_items(write(tmp_path, "item_id,title\n1,a\n,b\n"), TableSettings(), "item_id", SkipLog())


def test_pictures_that_do_not_exist_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    rows = [{"item_id": "1", "image": "a.png"}, {"item_id": "2", "image": "b.png"}, {"item_id": "3"}]
    items = locate_pictures(pl.DataFrame(rows, schema=dict(ITEM_COLUMNS)), [tmp_path], {})
    assert items["image"].to_list() == [str(tmp_path / "a.png"), str(tmp_path / "b.png"), None]
    assert with_existing_pictures(items)["item_id"].to_list() == ["1"]


def test_no_items_is_an_empty_catalogue() -> None:
    assert empty_items().schema == pl.Schema(ITEM_COLUMNS)
