"""The metadata and image features of Amazon's 2014 edition.

`meta_<Category>.json` has one Python dict literal per line: asin, title, brand, categories (paths, each a list),
description, imUrl; all but asin may be absent. `image_features_<Category>.b` is a run of records of 16,394 bytes:
10 bytes asin, then 4,096 float32, little-endian (McAuley et al. 2015, "Image-based recommendations").
"""

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from alignrec.artifacts import hash_file
from alignrec.data.amazon_values import address_stem, plain_text
from alignrec.data.raw import ITEM_COLUMNS, SkipLog
from alignrec.data.text_lines import DAMAGE, open_binary, read_lines
from alignrec.errors import DataError
from alignrec.features import FeatureTable
from alignrec.progress import track

__all__ = ["IMAGE_FEATURE_SIZE", "read_image_features", "read_meta_2014"]

IMAGE_FEATURE_SIZE = 4096
_ID_BYTES = 10
_RECORD_BYTES = _ID_BYTES + 4 * IMAGE_FEATURE_SIZE
_ASIN_FIRST = re.compile(r"""\s*\{\s*['"]asin['"]\s*:\s*['"]([^'"\\]+)['"]""")


def read_meta_2014(path: Path, wanted: Collection[str], by_id: Mapping[str, str], skipped: SkipLog) -> pl.DataFrame:
    """Rows (`ITEM_COLUMNS`) of the items in `wanted`; of several rows for one item the first.

    Of several paths of categories the first is taken, as in the texts that MMRec encodes.

    Args:
        path: the file.
        wanted: ids; other lines are passed over as soon as their asin is known.
        by_id: path of a picture by item id or by the name in its address.
        skipped: gets lines that cannot be read.

    Raises:
        DataError: a line is not a dict literal with an asin, unless `skipped` lets such lines go.
    """
    rows: dict[str, dict[str, Any]] = {}  # Any: the types of ITEM_COLUMNS
    for line, text in track(read_lines(path, skipped), "reading metadata"):
        first = _ASIN_FIRST.match(text)
        if not text.strip() or (first and (first[1] not in wanted or first[1] in rows)):
            continue
        entry = _literal(text)
        if isinstance(entry, str):
            skipped.bad_row(f"{path} line {line}", entry, "download the file again or mend the line")
            continue
        asin = str(entry["asin"])
        if asin in wanted and asin not in rows:
            rows[asin] = _item_row(asin, entry, by_id)
    return pl.DataFrame(list(rows.values()), schema=dict(ITEM_COLUMNS))


def _literal(text: str) -> dict[str, Any] | str:  # Any: values of a Python literal
    """The dict in a line, or what is wrong with it."""
    try:
        entry = ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        return f"not a Python dict literal ({type(error).__name__})"
    if not isinstance(entry, dict) or not entry.get("asin"):
        return "no dict with an asin"
    return entry


def _item_row(asin: str, entry: Mapping[str, Any], by_id: Mapping[str, str]) -> dict[str, Any]:
    categories = [text for text in map(plain_text, _first_path(entry.get("categories"))) if text]
    return {
        "item_id": asin,
        "title": plain_text(entry.get("title")),
        "brand": plain_text(entry.get("brand")),
        "categories": categories or None,
        "description": plain_text(entry.get("description")),
        "image": by_id.get(asin) or by_id.get(address_stem(entry.get("imUrl"))),
    }


def _first_path(paths: object) -> Sequence[object]:
    """The categories of the first of several paths, or of the one path that is not in a list."""
    if not isinstance(paths, list | tuple):
        return [paths] if isinstance(paths, str) else []
    return paths[0] if paths and isinstance(paths[0], list | tuple) else paths


def read_image_features(path: Path, item_ids: Sequence[str], skipped: SkipLog) -> FeatureTable:
    """The vectors (len(item_ids), 4096) called "image"; items that the file lacks get the mean of the others.

    Raises:
        DataError: the file ends within a record, or none of the items is in it.
    """
    place = {item: row for row, item in enumerate(item_ids)}
    matrix = np.zeros((len(item_ids), IMAGE_FEATURE_SIZE), dtype=np.float32)
    found = np.zeros(len(item_ids), dtype=bool)
    total = None if path.suffix == ".gz" else path.stat().st_size // _RECORD_BYTES
    for asin, vector in track(_records(path, skipped), "reading image features", total):
        row = place.get(asin)
        if row is not None and not found[row]:
            matrix[row], found[row] = np.frombuffer(vector, dtype="<f4"), True
    if not found.any():
        raise DataError(f"{path} has no vector for any of the {len(item_ids)} items; is it of the same category?")
    missing = np.flatnonzero(~found)
    # rows that were not found are still zero; the sum needs no copy of the others
    matrix[missing] = matrix.sum(axis=0, dtype=np.float64) / found.sum()
    provenance = {
        "file": path.name,
        "sha256": hash_file(path),
        "items_without_vector": len(missing),
        "filled_with": "mean of the items that have one",
        "examples": [item_ids[row] for row in missing[:5]],
    }
    return FeatureTable("image", "image", item_ids, matrix, provenance)


def _records(path: Path, skipped: SkipLog) -> Iterator[tuple[str, bytes]]:
    """Asin and bytes of the vector of each record."""
    number = 0
    with open_binary(path) as stream:
        try:
            while record := stream.read(_RECORD_BYTES):
                number += 1
                trouble = _record_trouble(record)
                if trouble is None:
                    yield record[:_ID_BYTES].decode("ascii"), record[_ID_BYTES:]
                else:
                    skipped.bad_row(f"{path} record {number}", trouble, "download the file again")
        except DAMAGE:
            reason = "the gzip stream breaks off or is damaged here"
            skipped.bad_row(f"{path} record {number + 1}", reason, "download the file again")


def _record_trouble(record: bytes) -> str | None:
    if len(record) != _RECORD_BYTES:
        return f"the file ends after {len(record)} of {_RECORD_BYTES} bytes"
    if not record[:_ID_BYTES].isalnum():
        return "it does not begin with an asin of 10 letters and digits"
    if not np.isfinite(np.frombuffer(record, dtype="<f4", offset=_ID_BYTES)).all():
        return "the vector holds NaN or infinity"
    return None
