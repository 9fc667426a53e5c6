import json
from pathlib import Path

import polars as pl
import pytest

from alignrec.data.amazon_2023 import read_meta_2023
from alignrec.data.raw import ITEM_COLUMNS, SkipLog
from alignrec.errors import DataError

MUG = {
    "parent_asin": "B1",
    "title": "Tom &amp; Jerry Mug",
    "store": "Kiln",
    "categories": ["Home", "Mugs"],
    "description": ["First.", "", "Second."],
    "features": ["Holds tea"],
    "images": [
        {"thumb": "https://m.media-amazon.com/images/I/41t.jpg", "large": None, "variant": "MAIN"},
        {"hi_res": "https://m.media-amazon.com/images/I/81h.jpg", "variant": "PT01"},
    ],
}
CUP = {
    "parent_asin": "B2",
    "title": "Cup",
    "store": None,
    "categories": [],
    "description": [],
    "features": ["Small", "Red"],
}


def write(folder: Path, *rows: object) -> Path:
    file = folder / "meta_Baby.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_metadata_is_read_for_the_wanted_items(tmp_path: Path) -> None:
    file = write(tmp_path, MUG, CUP, {"parent_asin": "B3", "title": "not wanted"})
    frame = read_meta_2023(file, {"B1", "B2"}, {}, SkipLog())
    assert frame.schema == pl.Schema(ITEM_COLUMNS)
    assert frame.rows() == [
        ("B1", "Tom & Jerry Mug", "Kiln", ["Home", "Mugs"], "First. Second.", None),
        ("B2", "Cup", None, None, "Small Red", None),
    ]


@pytest.mark.parametrize(
    ("pictures", "chosen"),
    [({"B1": "/B1.jpg", "41t": "/41t.jpg"}, "/B1.jpg"), ({"81h": "/81h.jpg", "41t": "/41t.jpg"}, "/41t.jpg")],
)
def test_a_picture_is_found_by_id_then_by_its_address_main_view_first(
    tmp_path: Path, pictures: dict[str, str], chosen: str
) -> None:
    assert read_meta_2023(write(tmp_path, MUG), {"B1"}, pictures, SkipLog())["image"].to_list() == [chosen]


def test_a_line_without_an_id_is_named_or_skipped(tmp_path: Path) -> None:
    file = write(tmp_path, MUG, {"title": "no id"}, CUP)
    with pytest.raises(DataError, match=r"meta_Baby\.jsonl line 2: no parent_asin"):
        read_meta_2023(file, {"B1"}, {}, SkipLog())
    skipped = SkipLog("skip")
    assert len(read_meta_2023(file, {"B1", "B2"}, {}, skipped)) == 2
    assert skipped.total == 1
