import itertools

import numpy as np
import pytest

from alignrec.data.shop_attributes import CATEGORIES, COLOURS, TEXTURES
from alignrec.data.shop_pictures import draw_picture


def picture(category="cushion", colour="red", texture="plain", seed=0, size=64):
    return draw_picture(category, colour, texture, np.random.default_rng(seed), size)


def test_the_same_generator_draws_the_same_picture():
    assert picture(seed=3).tobytes() == picture(seed=3).tobytes()
    assert picture(seed=3).tobytes() != picture(seed=4).tobytes()


@pytest.mark.parametrize("size", [16, 48, 50, 96])
def test_a_picture_has_the_size_asked_for(size):
    drawn = picture(size=size)
    assert drawn.size == (size, size)
    assert drawn.mode == "RGB"


def test_every_category_colour_and_texture_can_be_drawn():
    drawn = {
        picture(category, colour, texture, size=32).tobytes()
        for category, colour, texture in itertools.product(CATEGORIES, COLOURS[:2], TEXTURES)
    }
    assert len(drawn) == len(CATEGORIES) * 2 * len(TEXTURES)


def test_the_colour_is_to_be_seen():
    centre = {c: np.asarray(picture(colour=c), dtype=float)[24:30, 24:30].mean(axis=(0, 1)) for c in COLOURS}
    assert centre["red"].argmax() == 0
    assert centre["blue"].argmax() == 2
    assert centre["green"].argmax() == 1
    distances = [np.linalg.norm(centre[a] - centre[b]) for a, b in itertools.combinations(COLOURS, 2)]
    assert min(distances) > 30  # of 255: jitter moves a colour by about 15


def test_a_texture_changes_the_surface_and_and_stays_off_the_backdrop():
    plain, striped = (np.asarray(picture(texture=t, seed=1), dtype=float) for t in ("plain", "striped"))
    contrast = {
        name: image[24:40, 24:40].std(axis=(0, 1)).mean()
        for name, image in {"plain": plain, "striped": striped}.items()
    }
    assert contrast["striped"] > 3 * contrast["plain"]
    corners = np.abs(plain[:6, :6].mean(axis=(0, 1)) - striped[:6, :6].mean(axis=(0, 1)))
    assert corners.max() < 60


def test_the_thing_moves_from_picture_to_picture():
    darkest = [np.asarray(picture(colour="blue", seed=seed))[..., 0] < 110 for seed in range(8)]
    centres = np.array([np.argwhere(mask).mean(axis=0) for mask in darkest])
    areas = np.array([mask.sum() for mask in darkest])
    assert centres.std(axis=0).min() > 1  # pixels
    assert areas.max() > 1.15 * areas.min()
