import re

import numpy as np
import pytest

from alignrec.data import ITEM_COLUMNS
from alignrec.data.shop_attributes import BRANDS, CATEGORIES, COLOURS, STYLES, TEXTURES, draw_attributes
from alignrec.data.shop_texts import write_catalogue
from alignrec.data.shop_words import CATEGORY_WORDS, STYLE_WORDS, TEXTURE_WORDS

ITEMS = 600


@pytest.fixture(scope="module")
def attributes():
    return draw_attributes(
        ITEMS, np.random.default_rng(0), brand_keeps_style=0.6, colour_in_text=0.5, texture_in_text=0.25
    )


@pytest.fixture(scope="module")
def catalogue(attributes):
    ids = [str(item) for item in range(ITEMS)]
    return write_catalogue(ids, [f"{item}.jpg" for item in ids], attributes, np.random.default_rng(1))


@pytest.fixture(scope="module")
def said(catalogue):
    """The words of each item in all its texts."""
    rows = catalogue.select("title", "brand", "categories", "description").rows()
    return [set(re.findall(r"\w+", f"{t} {b} {' '.join(c)} {d}".lower())) for t, b, c, d in rows]


def test_the_catalogue_has_the_columns_of_every_source(catalogue):
    assert dict(catalogue.schema) == dict(ITEM_COLUMNS)


def test_the_colour_is_read_exactly_where_the_attributes_say_so(attributes, said):
    for item, words in enumerate(said):
        expected = {COLOURS[attributes.colour[item]]} if attributes.colour_in_text[item] else set()
        assert words & set(COLOURS) == expected


def test_the_texture_is_read_exactly_where_the_attributes_say_so(attributes, said):
    names = {word: texture for texture, phrase in TEXTURE_WORDS.items() for word in re.findall(r"\w+", phrase)}
    for item, words in enumerate(said):
        expected = {TEXTURES[attributes.texture[item]]} if attributes.texture_in_text[item] else set()
        assert {names[word] for word in words & set(names)} == expected


def test_category_style_and_brand_are_always_read(attributes, catalogue):
    for item, (title, brand) in enumerate(catalogue.select("title", "brand").iter_rows()):
        assert brand == BRANDS[attributes.brand[item]]
        rest = title.removeprefix(brand).lower()
        assert any(noun.lower() in rest for noun in CATEGORY_WORDS[CATEGORIES[attributes.category[item]]].nouns)
        assert any(word.lower() in rest for word in STYLE_WORDS[STYLES[attributes.style[item]]].adjectives)


def test_titles_and_descriptions_read_like_a_shop(catalogue):
    assert catalogue["title"].str.contains(r"^[A-Z].* [A-Z]").all()
    lengths = catalogue["description"].str.split(" ").list.len()
    assert lengths.min() >= 10
    assert lengths.max() <= 32
    assert not catalogue["description"].str.contains(r"\bA [aeiou]|  | ,").any()
