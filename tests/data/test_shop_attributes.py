import numpy as np
import pytest

from alignrec.data.shop_attributes import ATTRIBUTES, BRANDS, CATEGORIES, COLOURS, STYLES, draw_attributes


def draw(items, seed=0, **shares):
    shares = {"brand_keeps_style": 0.6, "colour_in_text": 0.5, "texture_in_text": 0.25} | shares
    return draw_attributes(items, np.random.default_rng(seed), **shares)


def test_every_value_of_every_attribute_occurs():
    attributes = draw(2000)
    for name, values in ATTRIBUTES.items():
        assert set(attributes.codes(name)) == set(range(len(values)))


def test_each_style_is_the_house_style_of_three_brands():
    attributes = draw(500, brand_keeps_style=1.0)
    houses = {(int(b), int(s)) for b, s in zip(attributes.brand, attributes.style, strict=True)}
    assert len(houses) == len(BRANDS)  # each brand has one style
    assert np.bincount([style for _, style in houses]).tolist() == [3] * len(STYLES)


def test_a_brand_names_its_style_as_often_as_asked():
    attributes = draw(20_000)
    kept = attributes.style == attributes.brand // 3
    assert kept.mean() == pytest.approx(0.6 + 0.4 / len(STYLES), abs=0.02)


def test_the_picture_says_nothing_about_brand_and_style():
    attributes = draw(20_000)
    joint = np.histogram2d(attributes.colour, attributes.style, bins=(len(COLOURS), len(STYLES)))[0] / 20_000
    assert joint == pytest.approx(1 / joint.size, rel=0.25)


def test_the_table_speaks_in_words():
    table = draw(3).table(["a", "b", "c"])
    assert table["item_id"].to_list() == ["a", "b", "c"]
    assert set(table["category"]) <= set(CATEGORIES)
    assert table.columns[-2:] == ["colour_in_text", "texture_in_text"]
