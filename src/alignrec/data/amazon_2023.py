"""The metadata of Amazon's 2023 edition: JSON Lines with parent_asin, title, store, categories, description, images.

`store` serves as the brand. The description is a list of paragraphs; where it is empty the bullet points
(`features`) take its place. `images` lists addresses in several sizes, the main view first.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from alignrec.data.amazon_values import address_stem, plain_text
from alignrec.data.json_lines import json_objects
from alignrec.data.raw import ITEM_COLUMNS, SkipLog
from alignrec.progress import track

__all__ = ["read_meta_2023"]

_SIZES = ("hi_res", "large", "thumb")


def read_meta_2023(path: Path, wanted: Collection[str], by_id: Mapping[str, str], skipped: SkipLog) -> pl.DataFrame:
    """Rows (`ITEM_COLUMNS`) of the items in `wanted`; of several rows for one item the first.

    Args:
        path: the file.
        wanted: ids; other lines are not kept.
        by_id: path of a picture by item id or by the name in its address.
        skipped: gets lines that cannot be read.

    Raises:
        DataError: a line is not a JSON object with a parent_asin, unless `skipped` lets such lines go.
    """
    rows: dict[str, dict[str, Any]] = {}  # Any: the types of ITEM_COLUMNS
    for line, entry in track(json_objects(path, skipped), "reading metadata"):
        item = entry.get("parent_asin")
        if not isinstance(item, str) or not item:
            skipped.bad_row(f"{path} line {line}", "no parent_asin", "download the file again or mend the line")
        elif item in wanted and item not in rows:
            rows[item] = _item_row(item, entry, by_id)
    return pl.DataFrame(list(rows.values()), schema=dict(ITEM_COLUMNS))


def _item_row(item: str, entry: Mapping[str, Any], by_id: Mapping[str, str]) -> dict[str, Any]:
    return {
        "item_id": item,
        "title": plain_text(entry.get("title")),
        "brand": plain_text(entry.get("store")),
        "categories": [text for text in map(plain_text, _listed(entry.get("categories"))) if text] or None,
        "description": _paragraphs(entry.get("description")) or _paragraphs(entry.get("features")),
        "image": by_id.get(item) or next((by_id[stem] for stem in _stems(entry) if stem in by_id), None),
    }


def _paragraphs(value: object) -> str | None:
    return plain_text(" ".join(str(text) for text in _listed(value) if text))


def _stems(entry: Mapping[str, Any]) -> Iterator[str]:
    """Names of the item's pictures in their addresses."""
    for image in _listed(entry.get("images")):
        if isinstance(image, dict):
            yield from (address_stem(image[size]) for size in _SIZES if image.get(size))


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
