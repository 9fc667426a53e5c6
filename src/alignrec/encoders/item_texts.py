"""The text of an item: "title + brand + description", as AlignRec's encoder reads it (Section 4.2.1)."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from alignrec.data import Dataset
from alignrec.errors import UsageError

__all__ = ["ITEM_TEXT_COLUMNS", "item_texts", "items_with_text", "text_lengths"]

ITEM_TEXT_COLUMNS = ("title", "brand", "description")
_CHUNK = 512


def item_texts(dataset: Dataset, columns: Sequence[str] = ITEM_TEXT_COLUMNS, *, rows: range | None = None) -> list[str]:
    """One text per item: its values in these columns of the catalogue, a blank between them; "" where there are none.

    `categories` may be named too; they are read from the general to the special. What should not be cut off
    where texts are too long comes first. `rows` are neighbouring items, all by default: ask for some at a time where
    the catalogue is large.

    Raises:
        UsageError: a column that the catalogue does not have, or that holds no text.
    """
    schema = dataset.catalogue.schema
    usable = [name for name in schema if name not in ("item_id", "image")]
    unknown = [name for name in columns if name not in usable]
    if unknown or not columns:
        raise UsageError(f"cannot read texts from {unknown or 'no column'}; allowed: {', '.join(usable)}")
    values = [pl.col(name).list.drop_nulls().list.join(" ") if name == "categories" else name for name in columns]
    frame = dataset.catalogue.frame if rows is None else dataset.catalogue.rows(rows)
    texts = frame.select(pl.concat_str(values, separator=" ", ignore_nulls=True).str.strip_chars())
    return texts.to_series().to_list()


def text_lengths(dataset: Dataset, columns: Sequence[str] = ITEM_TEXT_COLUMNS) -> NDArray[np.int32]:
    """Characters of each item's text, (I,); a few texts at a time are looked at."""
    starts = range(0, dataset.n_items, _CHUNK)
    parts = (item_texts(dataset, columns, rows=range(start, min(start + _CHUNK, dataset.n_items))) for start in starts)
    return np.fromiter((len(text) for part in parts for text in part), np.int32, dataset.n_items)


def items_with_text(dataset: Dataset, columns: Sequence[str] = ITEM_TEXT_COLUMNS) -> NDArray[np.bool_]:
    """Which items have a text in these columns, (I,)."""
    return text_lengths(dataset, columns) > 0
