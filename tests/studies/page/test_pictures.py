import base64
import io

import pytest
from PIL import Image

from alignrec.studies.page.pictures import SIZES, data_uris, thumbnail


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/webp;base64,"))))


@pytest.fixture
def noisy(tmp_path):
    """Four pictures that hardly compress."""
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        Image.effect_noise((200, 120), 90 + number).convert("RGB").save(path)
    return paths


def test_a_picture_keeps_its_shape_and_is_at_most_so_large(noisy):
    assert opened(thumbnail(noisy[0], 96)).size == (96, 58)


def test_a_small_picture_is_not_blown_up(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "small.png")
    assert opened(thumbnail(tmp_path / "small.png", 96)).size == (20, 10)


def test_what_is_transparent_is_white(tmp_path):
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert min(opened(thumbnail(tmp_path / "clear.png", 32)).convert("L").tobytes()) > 250


def test_a_photograph_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (80, 40)).save(tmp_path / "turned.jpg", exif=exif)
    assert opened(thumbnail(tmp_path / "turned.jpg", 96)).size == (40, 80)


def test_what_does_not_open_is_no_picture(tmp_path):
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    assert thumbnail(tmp_path / "torn.jpg", 96) is None
    assert thumbnail(tmp_path / "gone.jpg", 96) is None
    assert data_uris([tmp_path / "gone.jpg"], 10**6) == {}


def test_pictures_shrink_until_all_fit_each_as_often_as_it_is_shown(noisy):
    largest = data_uris(noisy, 10**6)
    assert {max(opened(uri).size) for uri in largest.values()} == {SIZES[0]}
    once = sum(map(len, largest.values()))
    shown = [*noisy, *noisy]
    smaller = data_uris(shown, once)
    assert set(smaller) == set(noisy)
    assert sum(len(smaller[path]) for path in shown) <= once
    assert {max(opened(uri).size) for uri in smaller.values()} < {*SIZES[1:]}


def test_where_the_smallest_do_not_fit_the_first_are_kept(noisy):
    smallest = [thumbnail(path, SIZES[-1]) for path in noisy]
    assert list(data_uris(noisy, len(smallest[0]) + len(smallest[1]))) == noisy[:2]
    assert data_uris(noisy, 0) == {}
