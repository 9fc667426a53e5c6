import numpy as np
import pytest
from PIL import Image

from alignrec.encoders.image_resizing import OUTCOMES, ImageSettings, ResizeJob, resize_into_file, to_square


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_squashing_is_pillows_bicubic_filter():
    picture = noise(50, 30)
    expected = np.asarray(picture.resize((16, 16), Image.Resampling.BICUBIC))
    square = to_square(picture, ImageSettings(size=16, fit="squash"))
    assert (square.transpose(1, 2, 0) == expected).all()


def test_padding_keeps_the_proportions_on_white():
    square = to_square(Image.new("RGB", (40, 20), "red"), ImageSettings(size=16))
    assert (square[:, 4:12] == np.array([255, 0, 0])[:, None, None]).all()
    assert (square[:, :4] == 255).all()
    assert (square[:, 12:] == 255).all()


def test_a_square_picture_is_the_same_either_way():
    pad, squash = (to_square(noise(40, 40), ImageSettings(size=16, fit=fit)) for fit in ("pad", "squash"))
    assert (pad == squash).all()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 900), (900, 1), (3, 7)])
@pytest.mark.parametrize("fit", ["pad", "squash"])
def test_any_proportions_give_a_square(width, height, fit):
    assert to_square(noise(width, height), ImageSettings(size=8, fit=fit)).shape == (3, 8, 8)


def test_a_job_writes_its_own_rows_and_no_others(tmp_path):
    noise(20, 20).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"")
    settings = ImageSettings(size=8)
    (tmp_path / "squares").write_bytes(b"\x07" * (7 + 5 * 192))
    paths = [tmp_path / "good.png", None, tmp_path / "gone.png", tmp_path / "bad.png"]
    codes = resize_into_file(ResizeJob(tmp_path / "squares", 7, 0, paths, settings))
    assert [OUTCOMES[code] for code in codes] == ["found", "unnamed", "missing", "broken"]
    written = np.frombuffer((tmp_path / "squares").read_bytes(), dtype=np.uint8)
    assert (written[7:199].reshape(3, 8, 8) == to_square(noise(20, 20), settings)).all()
    assert (written[199 : 7 + 4 * 192] == 0).all()
    assert (written[:7] == 7).all()
    assert (written[7 + 4 * 192 :] == 7).all()


@pytest.mark.parametrize("side", [960, 200])
def test_quick_decoding_of_a_jpeg_is_nearly_the_same(side, tmp_path):
    smooth = noise(24, 24).resize((side, side), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "large.jpg", quality=95)
    squares = []
    for quick in (True, False):
        (tmp_path / "squares").write_bytes(bytes(3 * 48 * 48))
        settings = ImageSettings(size=48, quick_jpeg=quick)
        resize_into_file(ResizeJob(tmp_path / "squares", 0, 0, [tmp_path / "large.jpg"], settings))
        squares.append(np.frombuffer((tmp_path / "squares").read_bytes(), dtype=np.uint8).astype(int))
    difference = np.abs(squares[0] - squares[1])
    assert 0 < difference.mean() < 4
