import os
import sys
from pathlib import Path

import pytest

from alignrec.data.image_files import index_images, picture_path
from alignrec.errors import DataError


def test_pictures_are_found_by_their_name_whatever_their_suffix(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.JPEG", "3.a.png", "4.webp", "notes.txt"):
        (tmp_path / name).touch()
    found = index_images(tmp_path)
    assert sorted(found) == ["1", "2", "3.a", "4"]
    assert found["2"] == str(tmp_path / "2.JPEG")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text there")
def test_a_name_that_is_not_utf8_is_nobodys_picture(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).touch()
    (tmp_path / "café.jpg").touch()
    assert list(index_images(tmp_path)) == ["café"]


def test_of_two_pictures_with_one_name_the_jpg_wins(tmp_path: Path) -> None:
    for name in ("1.webp", "1.jpg", "1.png"):
        (tmp_path / name).touch()
    assert index_images(tmp_path) == {"1": str(tmp_path / "1.jpg")}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder of images"):
        index_images(tmp_path / "nowhere")


def test_a_named_path_comes_before_the_id_and_an_address_is_no_path(tmp_path: Path) -> None:
    by_id = {"7": "/pictures/7.jpg"}
    assert picture_path("7", "sub/a.png", [tmp_path], by_id) == str(tmp_path / "sub" / "a.png")
    assert picture_path("7", None, [tmp_path], by_id) == "/pictures/7.jpg"
    assert picture_path("7", "https://example.org/a.png", [tmp_path], by_id) == "/pictures/7.jpg"
    assert picture_path("8", None, [tmp_path], by_id) is None


def test_a_named_path_is_looked_for_in_one_folder_after_the_other(tmp_path: Path) -> None:
    bases = [tmp_path / "images", tmp_path]
    bases[0].mkdir()
    (tmp_path / "b.png").touch()
    assert picture_path("7", "b.png", bases, {}) == str(tmp_path / "b.png")
    (bases[0] / "b.png").touch()
    assert picture_path("7", "b.png", bases, {}) == str(bases[0] / "b.png")
    assert picture_path("7", "gone.png", bases, {}) == str(bases[0] / "gone.png")
