"""Read the Amazon review data of McAuley's group, edition 2014 or 2023, for one category.

Edition 2014 (He and McAuley 2016): `ratings_<Category>.csv`, or `reviews_<Category>.json` (or `_5.json`);
`meta_<Category>.json`; `image_features_<Category>.b`. Edition 2023 (Hou et al. 2024): `<Category>.jsonl`, or the
ratings alone in `<Category>.csv`; `meta_<Category>.jsonl`. Each may be gzipped. Every rating is an interaction.

Interactions come first; metadata and image features are then read one by one, and kept only for the items
that the k-core leaves, so that memory grows with these and not with the files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from alignrec.artifacts import hash_file
from alignrec.data.amazon_2014 import read_image_features, read_meta_2014
from alignrec.data.amazon_2023 import read_meta_2023
from alignrec.data.cleaning import clean
from alignrec.data.image_files import index_images
from alignrec.data.raw import ITEM_COLUMNS, RawData, SkipLog
from alignrec.data.table_fields import id_field, open_table, read_fields, standard_fields
from alignrec.data.table_files import LINE, TableFile
from alignrec.data.text_lines import plain_suffix
from alignrec.errors import DataError, UsageError
from alignrec.features import FeatureTable

__all__ = ["Edition", "read_amazon"]

Edition = Literal["2014", "2023"]

# Short names people use -> names in the files of either edition; any other category is taken as it is.
_CATEGORIES: Mapping[str, Mapping[Edition, str]] = {
    "baby": {"2014": "Baby", "2023": "Baby_Products"},
    "sports": {"2014": "Sports_and_Outdoors", "2023": "Sports_and_Outdoors"},
    "clothing": {"2014": "Clothing_Shoes_and_Jewelry", "2023": "Clothing_Shoes_and_Jewelry"},
    "electronics": {"2014": "Electronics", "2023": "Electronics"},
}
_INTERACTIONS: Mapping[Edition, Sequence[str]] = {  # the first that is there is read
    "2014": ("ratings_{}.csv", "reviews_{}.json", "reviews_{}_5.json"),
    "2023": ("{}.jsonl", "{}.csv"),
}
_META: Mapping[Edition, str] = {"2014": "meta_{}.json", "2023": "meta_{}.jsonl"}
_IMAGE_FEATURES = "image_features_{}.b"
_RATINGS_2014 = ("1", "2", "3", "4")  # ratings_*.csv has no header: user, item, rating, timestamp
_REVIEWS_2014 = ("reviewerID", "asin", "overall", "unixReviewTime")
_REVIEWS_2023 = ("user_id", "parent_asin", "rating", "timestamp")


@dataclass(frozen=True)
class _Files:
    edition: Edition
    category: str
    interactions: Path
    meta: Path | None
    image_features: Path | None

    def present(self) -> list[Path]:
        return [path for path in (self.interactions, self.meta, self.image_features) if path is not None]


def read_amazon(
    path: str | Path,
    category: str,
    *,
    edition: Edition | None = None,
    images: Path | None = None,
    core: int = 0,
    min_rating: float | None = None,
    on_error: str = "fail",
) -> RawData:
    """Read the files of `category` in the folder `path`.

    Args:
        path: the folder with the files as they are downloaded.
        category: as in the file names, or Baby, Sports, Clothing, Electronics for short.
        edition: which one, if the folder holds both.
        images: folder with pictures, named by item id or as in the metadata's addresses.
        core: metadata and features are kept only for items that this k-core leaves. Interactions are
            not cleaned here: build the dataset with the same `core` and `min_rating`, or a larger `core`.
        min_rating: as `core`.
        on_error: `fail` raises at the first malformed row, `skip` counts them.

    Returns:
        All interactions in the order of the file; a feature table "image" if there is `image_features_*.b`.

    Raises:
        DataError: no such files, or a malformed row: the message names file, line and remedy.
    """
    files = _find(Path(path), category, edition)
    by_id = index_images(images) if images else {}
    skipped = SkipLog(on_error)
    interactions = _interactions(files, skipped)
    kept = _kept_items(interactions, core, min_rating)
    items = pl.DataFrame(schema=dict(ITEM_COLUMNS))
    if files.meta is not None:
        read_meta = read_meta_2014 if files.edition == "2014" else read_meta_2023
        items = read_meta(files.meta, frozenset(kept), by_id, skipped)
    features: tuple[FeatureTable, ...] = ()
    if files.image_features is not None:
        features = (read_image_features(files.image_features, kept, skipped),)
    return RawData(
        name=f"amazon-{files.edition}-{files.category}",
        interactions=interactions,
        items=_with_pictures(items, kept, by_id),
        source={
            "kind": "amazon",
            "edition": files.edition,
            "category": files.category,
            "files": {file.name: hash_file(file) for file in files.present()},
        },
        features=features,
        skipped=skipped,
    )


def _find(folder: Path, category: str, edition: Edition | None) -> _Files:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder with the downloaded Amazon files")
    editions: tuple[Edition, ...] = ("2014", "2023") if edition is None else (edition,)
    found = [files for name in editions if (files := _find_edition(folder, category, name)) is not None]
    if len(found) > 1:
        names = " and ".join(files.interactions.name for files in found)
        raise UsageError(f"{folder} holds {names}; say which with --edition 2014 or --edition 2023")
    if found:
        return found[0]
    tried = [pattern.format(_file_category(category, name)) for name in editions for pattern in _INTERACTIONS[name]]
    raise DataError(
        f"{folder} holds no interactions of {category!r}; give a folder with one of {', '.join(tried)} (or .gz)"
    )


def _find_edition(folder: Path, category: str, edition: Edition) -> _Files | None:
    name = _file_category(category, edition)
    interactions = next((file for p in _INTERACTIONS[edition] if (file := _present(folder, p.format(name)))), None)
    if interactions is None:
        return None
    features = _present(folder, _IMAGE_FEATURES.format(name)) if edition == "2014" else None
    return _Files(edition, name, interactions, _present(folder, _META[edition].format(name)), features)


def _file_category(category: str, edition: Edition) -> str:
    return _CATEGORIES.get(category.lower(), {}).get(edition, category)


def _present(folder: Path, name: str) -> Path | None:
    return next((file for file in (folder / name, folder / f"{name}.gz") if file.is_file()), None)


def _interactions(files: _Files, skipped: SkipLog) -> pl.DataFrame:
    old_ratings = files.edition == "2014" and plain_suffix(files.interactions) == ".csv"
    old_columns = _RATINGS_2014 if old_ratings else _REVIEWS_2014
    table = open_table(files.interactions, header=not old_ratings, alike=True)
    columns = old_columns if files.edition == "2014" else _REVIEWS_2023
    user, item, rating, timestamp = (_existing(table, name) for name in columns)
    fields = [id_field("user", user), id_field("item", item), *standard_fields(rating, timestamp)]
    return read_fields(table, fields, skipped).drop(LINE, strict=False)


def _existing(table: TableFile, column: str) -> str:
    if column not in table.columns:
        have = ", ".join(table.columns)
        raise DataError(f"{table.path} has no column {column!r}; it has: {have}; for other files use 'import tables'")
    return column


def _kept_items(interactions: pl.DataFrame, core: int, min_rating: float | None) -> list[str]:
    """The items that cleaning leaves, in the order of their first appearance."""
    users, items = _codes(interactions["user"]), _codes(interactions["item"])
    rows, _ = clean(users, items, interactions["rating"].to_numpy(), core=core, min_rating=min_rating)
    return interactions["item"].gather(rows).unique(maintain_order=True).to_list()


def _codes(values: pl.Series) -> NDArray[np.int32]:
    if not len(values):
        return np.zeros(0, dtype=np.int32)
    return values.cast(pl.Enum(values.unique(maintain_order=True))).to_physical().to_numpy().astype(np.int32)


def _with_pictures(items: pl.DataFrame, kept: Sequence[str], by_id: Mapping[str, str]) -> pl.DataFrame:
    """`items`, and a row of their own for items without metadata that have a picture."""
    known = set(items["item_id"])
    rows = [{"item_id": item, "image": by_id[item]} for item in kept if item in by_id and item not in known]
    return pl.concat([items, pl.DataFrame(rows, schema=dict(ITEM_COLUMNS))])
