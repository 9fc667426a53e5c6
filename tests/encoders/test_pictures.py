import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageOps

from alignrec.data import ITEM_COLUMNS, Catalogue, Dataset, InteractionLog, Vocabulary
from alignrec.encoders import PictureReport, open_picture, read_pictures


@pytest.fixture
def dataset(tmp_path):
    """Four items: a picture, none named, a file that is not there, a file cut off in the middle."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    images = ["good.png", None, "gone.png", "cut.png"]
    rows = [dict.fromkeys(ITEM_COLUMNS) | {"item_id": f"i{n}", "image": image} for n, image in enumerate(images)]
    nothing = np.zeros(0, dtype=np.int32)
    return Dataset(
        name="toy",
        users=Vocabulary(("u",), "user"),
        items=Vocabulary(tuple(row["item_id"] for row in rows), "item"),
        log=InteractionLog(nothing, nothing, nothing.astype(np.int8)),
        catalogue=Catalogue(pl.DataFrame(rows, schema=dict(ITEM_COLUMNS))),
        path=tmp_path,
    )


def test_missing_and_broken_pictures_are_counted_not_fatal(dataset):
    report = PictureReport()
    found = [picture is not None for _, picture in read_pictures(dataset, range(4), report)]
    assert found == [True, False, False, False]
    assert report.counts == {"found": 1, "unnamed": 1, "missing": 1, "broken": 1}
    assert set(report.examples) == {"i2", "i3"}
    assert report.examples["i3"].endswith("cut.png: broken")


def test_pictures_come_one_at_a_time(dataset):
    report = PictureReport()
    pictures = read_pictures(dataset, range(4), report)
    next(pictures)
    assert report.counts.total() == 1


@pytest.mark.parametrize(
    "content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"GIF89a", b"BM" + b"\xff" * 60]
)
def test_a_file_that_is_no_picture_is_an_os_error(tmp_path, content):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(OSError, match=r".+"):
        open_picture(tmp_path / "bad")


def test_a_file_made_to_fill_the_memory_is_not_decoded(tmp_path):
    Image.new("1", (12_000, 9_000)).save(tmp_path / "bomb.png")  # 13 kB that would be 324 MB
    with pytest.raises(OSError, match="108000000 pixels"):
        open_picture(tmp_path / "bomb.png")


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, IndexError, ZeroDivisionError, TypeError])
def test_whatever_a_decoder_stumbles_over_the_picture_is_unreadable(tmp_path, monkeypatch, error):
    """AVIF, DDS and JPEG 2000 files with some bytes changed raise such errors from within Pillow."""
    Image.new("RGB", (4, 4)).save(tmp_path / "odd.png")

    def stumbles(_picture):
        raise error("bad segment")

    monkeypatch.setattr(ImageOps, "exif_transpose", stumbles)
    with pytest.raises(OSError, match=r"odd\.png is not a readable picture .*bad segment"):
        open_picture(tmp_path / "odd.png")


def test_a_picture_that_pillow_only_warns_of_is_read_without_a_word(tmp_path):
    """Its Exif block is one entry short; warnings are errors here."""
    exif = Image.Exif()
    exif[0x0112] = 1
    Image.new("RGB", (8, 6)).save(tmp_path / "short.jpg", exif=exif)
    content = bytearray((tmp_path / "short.jpg").read_bytes())
    entries = content.index(b"Exif") + 6 + 8  # marks, then byte order and offset
    content[entries : entries + 2] = b"\x00\x09"
    (tmp_path / "short.jpg").write_bytes(content)
    assert open_picture(tmp_path / "short.jpg").size == (8, 6)


def test_transparent_parts_are_white(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert open_picture(tmp_path / "clear.png").getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("mode", "name"), [("L", "g.png"), ("P", "p.gif"), ("CMYK", "c.jpg"), ("1", "b.png"), ("LA", "la.png")]
)
def test_every_kind_of_picture_becomes_rgb(tmp_path, mode, name):
    Image.new(mode, (5, 3)).save(tmp_path / name)
    opened = open_picture(tmp_path / name)
    assert (opened.mode, opened.size) == ("RGB", (5, 3))


def test_a_picture_taken_sideways_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    Image.new("RGB", (20, 10)).save(tmp_path / "sideways.jpg", exif=exif)
    assert open_picture(tmp_path / "sideways.jpg").size == (10, 20)


def test_a_large_jpeg_may_be_decoded_small_but_not_too_small(tmp_path):
    Image.new("RGB", (800, 640), "teal").save(tmp_path / "large.jpg")
    small = open_picture(tmp_path / "large.jpg", least_size=64)
    assert 64 <= min(small.size) < 640


def test_sixteen_bits_of_grey_become_eight(tmp_path):
    grey = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.asarray(open_picture(tmp_path / "grey.png"))[0, :, 0].tolist() == [0, 1, 128, 255]
