"""A content hash of string tables: the same for the same values on any machine and with any version of polars.

A column of strings counts as the lengths of its values (-1 for null) and their UTF-8 bytes end to end; a
column of lists as the lengths of the lists and the column of all their members. Rows are taken in blocks, so
a large catalogue is never copied as a whole.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

__all__ = ["hash_columns", "hash_frame", "hash_strings"]

_BLOCK = 65_536  # rows
_PART = 4096  # of these, which are copied at once


def hash_frame(frame: pl.DataFrame) -> str:
    """SHA-256 of names and values of the columns (strings and lists of strings), hexadecimal."""
    return hash_columns(frame.columns, len(frame), lambda name, start, count: frame[name].slice(start, count))


def hash_columns(names: Sequence[str], n_rows: int, read: Callable[[str, int, int], pl.Series]) -> str:
    """`hash_frame` of a table that is read in parts: `read(name, start, count)` gives rows of a column."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode())
        for start in range(0, n_rows, _BLOCK):
            _add(digest, read(name, start, _BLOCK))
    return digest.hexdigest()


def hash_strings(values: Sequence[str] | pl.Series) -> str:
    """SHA-256 of a list of strings, hexadecimal."""
    return hash_frame(pl.Series("values", values, dtype=pl.String).to_frame())


def _add(digest: "hashlib._Hash", column: pl.Series) -> None:
    digest.update(f"{len(column)}\n".encode())
    if isinstance(column.dtype, pl.List):
        digest.update(_lengths(column.list.len()))
        _add(digest, column.explode(empty_as_null=False, keep_nulls=False))
        return
    digest.update(_lengths(column.str.len_bytes()))
    for start in range(0, len(column), _PART):
        digest.update(b"".join(column.slice(start, _PART).drop_nulls().cast(pl.Binary).to_list()))


def _lengths(lengths: pl.Series) -> bytes:
    return lengths.cast(pl.Int64).fill_null(-1).to_numpy().astype(np.dtype("<i8")).tobytes()
