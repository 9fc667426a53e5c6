from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from alignrec.data.item_rows import check_images, item_rows
from alignrec.data.raw import ITEM_COLUMNS


def items(*rows):
    return pl.DataFrame([dict.fromkeys(ITEM_COLUMNS) | row for row in rows], schema=dict(ITEM_COLUMNS))


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), "red").save(path)
    return path


def test_rows_follow_the_items_and_an_item_without_a_row_gets_an_empty_one():
    rows, counts = item_rows(items({"item_id": "b", "title": "B"}, {"item_id": "x"}), ["a", "b"])
    assert rows["item_id"].to_list() == ["a", "b"]
    assert rows["title"].to_list() == [None, "B"]
    assert dict(rows.schema) == dict(ITEM_COLUMNS)
    assert counts == {"without_row": 1, "repeated_rows": 0}


def test_of_an_item_listed_twice_the_first_row_stays():
    rows, counts = item_rows(items({"item_id": "a", "title": "1"}, {"item_id": "a", "title": "2"}), ["a"])
    assert rows["title"].to_list() == ["1"]
    assert counts["repeated_rows"] == 1


def test_blank_texts_are_no_texts():
    rows, _ = item_rows(items({"item_id": "a", "title": "  ", "brand": "B "}), ["a"])
    assert rows.select("title", "brand").row(0) == (None, "B ")


def test_missing_and_broken_pictures_are_counted_and_no_longer_named(tmp_path):
    good = picture(tmp_path / "elsewhere" / "good.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:40])
    catalogue = items(
        {"item_id": "a", "image": str(good)},
        {"item_id": "b", "image": str(broken)},
        {"item_id": "c", "image": str(tmp_path / "nowhere.jpg")},
        {"item_id": "d"},
    )
    checked, report = check_images(catalogue, tmp_path / "dataset")
    assert checked["image"].to_list() == [str(good), None, None, None]
    assert (report.named, report.missing, report.broken) == (3, 1, 1)
    assert report.examples == {"b": f"{broken}: broken", "c": f"{tmp_path / 'nowhere.jpg'}: missing"}


def test_a_text_file_is_not_a_picture(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>not found</html>")
    _, report = check_images(items({"item_id": "a", "image": "a.jpg"}), tmp_path)
    assert report.broken == 1


def test_a_picture_made_to_fill_the_memory_is_broken_and_nothing_is_printed(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # 1,600 pixels bring a warning, 2,500 an error
    for side in (30, 40, 50):
        Image.new("1", (side, side)).save(tmp_path / f"{side}.png")
    rows = items(*({"item_id": str(side), "image": f"{side}.png"} for side in (30, 40, 50)))
    checked, report = check_images(rows, tmp_path)
    assert (report.named, report.broken) == (3, 2)
    assert checked["image"].to_list() == ["30.png", None, None]


@pytest.mark.parametrize("absolute", [True, False])
def test_a_picture_inside_the_dataset_is_named_relative_to_it(tmp_path, absolute):
    out = tmp_path / "dataset"
    inside = picture(out / "images" / "a.png")
    checked, report = check_images(items({"item_id": "a", "image": str(inside) if absolute else "images/a.png"}), out)
    assert checked["image"].to_list() == ["images/a.png"]
    assert report.missing == 0


def test_pictures_of_a_dataset_in_the_making_are_looked_up_in_its_stage(tmp_path):
    picture(tmp_path / "stage" / "images" / "a.png")
    row = items({"item_id": "a", "image": "images/a.png"})
    checked, _ = check_images(row, tmp_path / "dataset", tmp_path / "stage")
    assert checked["image"].to_list() == ["images/a.png"]


def test_only_a_few_examples_of_a_fault_are_listed(tmp_path):
    _, report = check_images(items(*({"item_id": str(n), "image": f"{n}.jpg"} for n in range(50))), tmp_path)
    assert report.missing == 50
    assert len(report.examples) == 5


def test_a_name_too_long_for_a_file_is_a_missing_picture(tmp_path):
    named = "data:image/jpeg;base64," + "A" * 5000
    _, report = check_images(items({"item_id": "a", "image": named}), tmp_path)
    assert (report.missing, report.broken) == (1, 0)


def test_whatever_pillow_raises_the_picture_is_broken(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.dds")
    content = bytearray((tmp_path / "a.dds").read_bytes())
    content[80:84] = (18).to_bytes(4, "little")  # pixel format flags that Pillow answers by NotImplementedError
    (tmp_path / "a.jpg").write_bytes(content)
    _, report = check_images(items({"item_id": "a", "image": "a.jpg"}), tmp_path)
    assert (report.missing, report.broken) == (0, 1)


def test_pillows_warnings_of_odd_files_are_not_passed_on(tmp_path, recwarn):
    Image.new("1", (12_000, 9_000)).save(tmp_path / "large.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "cut.tiff")
    (tmp_path / "cut.tiff").write_bytes((tmp_path / "cut.tiff").read_bytes()[:60])
    rows = items({"item_id": "a", "image": "large.png"}, {"item_id": "b", "image": "cut.tiff"})
    assert check_images(rows, tmp_path)[1].broken == 2
    assert not recwarn.list
