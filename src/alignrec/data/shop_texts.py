"""Writes the texts of the built-in shop: titles and descriptions that say a part of what an item is.

Category, style and brand are always to be read, each under one of several names; the colour and the texture only
where the item's attributes say so. The rest is what any shop would write.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from alignrec.data.raw import ITEM_COLUMNS
from alignrec.data.shop_attributes import BRANDS, CATEGORIES, COLOURS, STYLES, TEXTURES, ItemAttributes
from alignrec.data.shop_words import CATEGORY_WORDS, FILLER, OPENERS, STYLE_WORDS, TEXTURE_WORDS

__all__ = ["write_catalogue"]


def write_catalogue(
    item_ids: Sequence[str], images: Sequence[str | None], attributes: ItemAttributes, rng: np.random.Generator
) -> pl.DataFrame:
    """The catalogue with `ITEM_COLUMNS`, one row per item; descriptions have about 12 to 30 words."""
    rows = [
        (item_ids[item], *_texts(attributes, item, rng), images[item])  # a row at a time: draws follow the items
        for item in range(len(attributes))
    ]
    return pl.DataFrame(rows, schema=dict(ITEM_COLUMNS), orient="row")


def _texts(
    attributes: ItemAttributes, item: int, rng: np.random.Generator
) -> tuple[str, str, list[str], str]:  # title, brand, categories, description
    words = CATEGORY_WORDS[CATEGORIES[attributes.category[item]]]
    style = STYLE_WORDS[STYLES[attributes.style[item]]]
    brand = BRANDS[attributes.brand[item]]
    noun, other_noun = _pick(words.nouns, rng), _pick(words.nouns, rng)
    adjective, other_adjective = _pick(style.adjectives, rng), _pick(style.adjectives, rng)
    colour = COLOURS[attributes.colour[item]] if attributes.colour_in_text[item] else ""
    texture = TEXTURE_WORDS[TEXTURES[attributes.texture[item]]] if attributes.texture_in_text[item] else ""

    in_title = rng.random(2) < 0.5  # whether colour and texture stand in the title or in the description
    title = " ".join(_titled(word) for word in (adjective, texture if in_title[1] else "", noun) if word)
    if colour and in_title[0]:
        title += f", {colour.title()}"
    qualities = [other_adjective, "" if in_title[0] else colour, "" if in_title[1] else texture, other_noun]
    sentence = " ".join([_pick(OPENERS, rng), *(word for word in qualities if word), _pick(words.uses, rng)])
    if sentence.startswith("A ") and sentence[2] in "aeiou":
        sentence = "An" + sentence[1:]
    description = f"{sentence}, {_pick(style.notes, rng)}. {_pick(FILLER, rng)}"
    return f"{brand} {title}", brand, [*words.shelf], description


def _titled(words: str) -> str:
    return " ".join(word[0].upper() + word[1:] for word in words.split())


def _pick(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
