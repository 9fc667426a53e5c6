"""The built-in shop: a catalogue that the program draws itself, and customers who buy from it.

Its use is that everything is known: the pictures are of things with a shape, a colour and a texture, the texts
speak of a category, a brand and a style, and customers choose by exactly these, some popular items apart. So a
method that reads pictures and texts can find out what one that sees only purchases cannot, most of all for the
many items that were hardly ever bought. `shop_attributes.parquet` in the dataset's folder holds the truth
(item_id and each attribute in words, and whether the text names colour and texture); no feature is made from it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import Field

from alignrec.artifacts import staged_folder
from alignrec.data.build import build_into
from alignrec.data.dataset import Dataset
from alignrec.data.raw import RawData
from alignrec.data.shop_attributes import CATEGORIES, COLOURS, TEXTURES, ItemAttributes, draw_attributes
from alignrec.data.shop_pictures import draw_picture
from alignrec.data.shop_texts import write_catalogue
from alignrec.data.shop_users import draw_activity, draw_purchases
from alignrec.data.splitting import MmrecSplit
from alignrec.progress import track
from alignrec.runtime import numpy_rng
from alignrec.settings import Settings

__all__ = ["ATTRIBUTES_FILE", "ShopSettings", "draw_shop"]

ATTRIBUTES_FILE = "shop_attributes.parquet"
_JPEG_QUALITY = 90


class ShopSettings(Settings):
    """What kind of shop is drawn."""

    items: int = Field(default=2000, ge=20)
    """Number of items in the catalogue."""
    users: int = Field(default=2000, ge=1)
    """Number of customers."""
    image_size: int = Field(default=96, ge=16, le=1024)
    """Width and height of a picture in pixels."""
    pictures: bool = True
    """Whether pictures are drawn; a shop of texts alone is there in a second."""
    interactions_per_user: float = Field(default=9.0, ge=5)
    """About how many items a customer buys on average; some buy far more."""
    least_per_user: int = Field(default=5, ge=3)
    """How many items every customer buys at least; the split needs 3."""
    taste: float = Field(default=5.0, ge=0)
    """Standard deviation of personal taste, where that of pure chance is 1.28; 0 is a shop without taste."""
    popularity: float = Field(default=0.9, ge=0)
    """How much better known the item of rank r is: its chance is proportional to r to the power of minus this."""
    category_weight: float = Field(default=1.0, ge=0)
    """Part of the category (seen and read) in taste."""
    colour_weight: float = Field(default=1.2, ge=0)
    """Part of the colour (seen, read in some texts) in taste."""
    texture_weight: float = Field(default=1.0, ge=0)
    """Part of the texture (seen, read in a few texts) in taste."""
    brand_weight: float = Field(default=0.8, ge=0)
    """Part of the brand (read) in taste."""
    style_weight: float = Field(default=1.0, ge=0)
    """Part of the style (read) in taste."""
    brand_keeps_style: float = Field(default=0.6, ge=0, le=1)
    """Share of items in the style of their brand; the others are in any style."""
    colour_in_text: float = Field(default=0.5, ge=0, le=1)
    """Share of items whose text names the colour."""
    texture_in_text: float = Field(default=0.25, ge=0, le=1)
    """Share of items whose text names the texture."""

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each attribute in taste, by the attribute's name."""
        return {
            "category": self.category_weight,
            "colour": self.colour_weight,
            "texture": self.texture_weight,
            "brand": self.brand_weight,
            "style": self.style_weight,
        }


def draw_shop(out: str | Path, *, settings: ShopSettings | None = None, seed: int = 0) -> Dataset:
    """Draw the shop and write the dataset folder `out`, whole or not at all.

    The same settings and seed give the same files, byte by byte. The split is MMRec's. Every item is in the
    dataset, also one that nobody bought.

    Raises:
        ArtifactError: `out` exists.
    """
    settings = settings or ShopSettings()
    folder = Path(out)
    attributes = draw_attributes(
        settings.items,
        numpy_rng(seed, "shop", "attributes"),
        brand_keeps_style=settings.brand_keeps_style,
        colour_in_text=settings.colour_in_text,
        texture_in_text=settings.texture_in_text,
    )
    item_ids = _ids("item", settings.items)
    images = [f"images/{item_id}.jpg" if settings.pictures else None for item_id in item_ids]
    raw = RawData(
        name="shop",
        interactions=_draw_log(attributes, item_ids, settings, seed),
        items=write_catalogue(item_ids, images, attributes, numpy_rng(seed, "shop", "texts")),
        source={"kind": "shop", "settings": settings.model_dump()},
        user_order=tuple(_ids("user", settings.users)),
        item_order=tuple(item_ids),
    )
    with staged_folder(folder) as stage:
        _draw_pictures(stage, images, attributes, settings.image_size, seed)
        attributes.table(item_ids).write_parquet(stage / ATTRIBUTES_FILE)
        dataset = build_into(stage, raw, folder, core=0, split=MmrecSplit(), seed=seed)
    return replace(dataset, path=folder)


def _ids(kind: str, count: int) -> list[str]:
    width = max(4, len(str(count)))
    return [f"{kind}-{number:0{width}}" for number in range(1, count + 1)]


def _draw_log(attributes: ItemAttributes, item_ids: Sequence[str], settings: ShopSettings, seed: int) -> pl.DataFrame:
    activity = draw_activity(
        settings.users,
        settings.interactions_per_user,
        min(settings.least_per_user, settings.items // 4),
        limit=settings.items // 4,
        rng=numpy_rng(seed, "shop", "activity"),
    )
    log = draw_purchases(
        attributes,
        activity,
        settings.weights,
        numpy_rng(seed, "shop", "purchases"),
        taste=settings.taste,
        popularity=settings.popularity,
    )
    user_ids = np.array(_ids("user", settings.users))
    return log.with_columns(
        pl.Series("user", user_ids[log["user"].to_numpy()]),
        pl.Series("item", np.array(item_ids)[log["item"].to_numpy()]),
    )


def _draw_pictures(stage: Path, images: Sequence[str | None], attributes: ItemAttributes, size: int, seed: int) -> None:
    (stage / "images").mkdir()
    for item, image in enumerate(track(images, "drawing pictures")):
        if image is None:
            continue
        picture = draw_picture(
            CATEGORIES[attributes.category[item]],
            COLOURS[attributes.colour[item]],
            TEXTURES[attributes.texture[item]],
            numpy_rng(seed, "shop", "picture", item),  # a stream of its own: the picture depends on no other item
            size,
        )
        picture.save(stage / image, quality=_JPEG_QUALITY, subsampling=0)
