import numpy as np
from PIL import Image, ImageDraw

from alignrec.data.shop_attributes import CATEGORIES
from alignrec.data.shop_shapes import outlines


def silhouette(category, size=64):
    canvas = Image.new("L", (size, size))
    draw = ImageDraw.Draw(canvas)
    for part in outlines()[category]:
        draw.polygon(((part.points + 1) * size / 2).ravel().tolist(), fill=255 if part.tone else 0)
    return np.asarray(canvas) > 0


def test_every_category_has_an_outline():
    assert set(outlines()) == set(CATEGORIES)


def test_outlines_stay_in_their_square():
    for parts in outlines().values():
        assert all(np.abs(part.points).max() <= 1.02 for part in parts)


def test_every_outline_has_room_for_a_texture():
    for category in CATEGORIES:
        assert any(part.patterned for part in outlines()[category])
        assert silhouette(category).mean() > 0.15


def test_no_two_outlines_look_alike():
    masks = [silhouette(category) for category in CATEGORIES]
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert (one & other).sum() / (one | other).sum() < 0.8
