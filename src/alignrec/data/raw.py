"""What a source of any format hands over: interactions and items under the user's own ids, and what was skipped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from alignrec.errors import DataError
from alignrec.features import FeatureTable

__all__ = ["ITEM_COLUMNS", "RawData", "SkipLog"]

ITEM_COLUMNS: Mapping[str, Any] = {  # Any: polars' own type of a type
    "item_id": pl.String,
    "title": pl.String,
    "brand": pl.String,
    "categories": pl.List(pl.String),
    "description": pl.String,
    "image": pl.String,  # path of the picture, absolute or relative to the dataset folder; null where there is none
}


@dataclass
class SkipLog:
    """Counts malformed rows that were skipped (`on_error="skip"`) or raises at the first (`"fail"`)."""

    on_error: str = "fail"
    counts: dict[str, int] = field(default_factory=dict)  # reason -> rows
    examples: dict[str, str] = field(default_factory=dict)  # reason -> where it first happened

    def bad_row(self, where: str, reason: str, remedy: str) -> None:
        """Note a malformed row at `where` ("ratings.csv line 3").

        Raises:
            DataError: unless rows are to be skipped.
        """
        if self.on_error != "skip":
            raise DataError(f"{where}: {reason}; {remedy}, or skip such rows with --on-error skip")
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.examples.setdefault(reason, where)

    @property
    def total(self) -> int:
        """Rows skipped."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class RawData:
    """The outcome of reading a source; nothing is cleaned, split or numbered yet.

    `interactions` has columns user, item (String) and optionally rating (Float64), timestamp (Int64 seconds)
    and split (Int8, position in `SPLITS`). `items` has exactly `ITEM_COLUMNS`; items without a row in it get
    an empty one. `features` may cover more items than survive cleaning.
    """

    name: str
    interactions: pl.DataFrame
    items: pl.DataFrame
    source: Mapping[str, Any]  # Any: JSON values: {"kind": ..., "files": {name: sha256}, ...}
    features: tuple[FeatureTable, ...] = ()
    skipped: SkipLog = field(default_factory=SkipLog)
    # all ids in index order, where the source numbers them itself (MMRec) and its feature rows follow these
    # numbers; None: numbered by first appearance
    user_order: tuple[str, ...] | None = None
    item_order: tuple[str, ...] | None = None
