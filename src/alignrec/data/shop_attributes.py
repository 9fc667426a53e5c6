"""What the things in the built-in shop are: category, colour, texture, brand and style of every item.

Category is seen in picture and text, colour and texture in the picture (and named in a part of the texts), brand
and style in the text alone. These are the ground truth: no feature is made from them, an oracle may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["ATTRIBUTES", "BRANDS", "CATEGORIES", "COLOURS", "STYLES", "TEXTURES", "ItemAttributes", "draw_attributes"]

CATEGORIES = (
    "mug",
    "teapot",
    "vase",
    "lamp",
    "chair",
    "clock",
    "cushion",
    "shirt",
    "sock",
    "hat",
    "bag",
    "umbrella",
)
COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")
TEXTURES = ("plain", "striped", "dotted", "chequered", "zigzag", "marbled")
STYLES = ("rustic", "minimal", "retro", "nautical", "bohemian", "industrial", "romantic", "playful")
BRANDS = (  # three houses per style, in the order of STYLES
    "Harrow & Pike", "Oakmere", "Thistledown", "Norrvik", "Quiet Thought", "Studio Klar",
    "Roxbury Record", "Marlowe 66", "Dialtone", "Saltmarsh", "Compass & Keel", "Lighthouse Row",
    "Zahra Loom", "Wanderbird", "Sol y Arena", "Foundry Nine", "Ironbridge", "Bolt & Beam",
    "Rosalind", "Petit Jardin", "Lace & Letter", "Jellybean Lane", "Pogo", "Happy Otter",
)  # fmt: skip
ATTRIBUTES = {
    "category": CATEGORIES,
    "colour": COLOURS,
    "texture": TEXTURES,
    "brand": BRANDS,
    "style": STYLES,
}

_CATEGORY_UNEVENNESS = 8.0  # of a Dirichlet: departments differ in size, none is empty


@dataclass(frozen=True)
class ItemAttributes:
    """The codes of I items; a code is a position in the tuple of that name."""

    category: NDArray[np.int64]  # (I,)
    colour: NDArray[np.int64]  # (I,)
    texture: NDArray[np.int64]  # (I,)
    brand: NDArray[np.int64]  # (I,)
    style: NDArray[np.int64]  # (I,)
    colour_in_text: NDArray[np.bool_]  # (I,) the text names the colour
    texture_in_text: NDArray[np.bool_]  # (I,) the text names the texture

    def __len__(self) -> int:
        return len(self.category)

    def codes(self, name: str) -> NDArray[np.int64]:
        """The codes (I,) of the attribute `name`, one of `ATTRIBUTES`."""
        values: NDArray[np.int64] = getattr(self, name)
        return values

    def table(self, item_ids: Sequence[str]) -> pl.DataFrame:
        """One row per item with the attributes in words: what an oracle would know."""
        words = {name: [values[code] for code in self.codes(name)] for name, values in ATTRIBUTES.items()}
        flags = {"colour_in_text": self.colour_in_text, "texture_in_text": self.texture_in_text}
        return pl.DataFrame({"item_id": list(item_ids), **words, **flags})


def draw_attributes(
    items: int,
    rng: np.random.Generator,
    *,
    brand_keeps_style: float,
    colour_in_text: float,
    texture_in_text: float,
) -> ItemAttributes:
    """Draw the attributes of `items` items.

    `brand_keeps_style` is the share of items in the style of their brand's house, the others have any style;
    `colour_in_text` and `texture_in_text` are the shares of items whose text will name them.
    """
    departments = rng.dirichlet(np.full(len(CATEGORIES), _CATEGORY_UNEVENNESS))
    brand = rng.integers(len(BRANDS), size=items)
    house_style = brand * len(STYLES) // len(BRANDS)
    any_style = rng.integers(len(STYLES), size=items)
    return ItemAttributes(
        category=rng.choice(len(CATEGORIES), size=items, p=departments),
        colour=rng.integers(len(COLOURS), size=items),
        texture=rng.integers(len(TEXTURES), size=items),
        brand=brand,
        style=np.where(rng.random(items) < brand_keeps_style, house_style, any_style),
        colour_in_text=rng.random(items) < colour_in_text,
        texture_in_text=rng.random(items) < texture_in_text,
    )
