"""What the values of a table's columns mean: ids, numbers, times, splits, texts, categories, of whatever type.

Every converter takes a column and returns one of the same length with null where a value is empty or cannot be read.
"""

import ast
import json
import math
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime

import polars as pl

__all__ = [
    "LATEST_TIME",
    "as_category_lists",
    "as_fractions",
    "as_ids",
    "as_numbers",
    "as_seconds",
    "as_splits",
    "as_texts",
]

LATEST_TIME = 1e14  # the year 5138 in milliseconds; a larger number is no time

_SPLITS = {"0": 0, "train": 0, "1": 1, "valid": 1, "validation": 1, "val": 1, "2": 2, "test": 2}
_FIRST_MILLISECONDS = 1e11  # as seconds the year 5138, as milliseconds March 1973


def as_ids(column: pl.Series) -> pl.Series:
    """Ids as the user's own strings: text as it is, whole numbers in decimal; blank text is no id."""
    if column.dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        column = whole.set(whole.cast(pl.Float64) != column, None)
    elif column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        return _nulls(column, pl.String)
    texts = column.cast(pl.String)
    return texts.set(texts.str.strip_chars().str.len_bytes() == 0, None)


def as_numbers(column: pl.Series) -> pl.Series:
    """Finite numbers."""
    if column.dtype.is_numeric():
        numbers = column.cast(pl.Float64)
    elif column.dtype == pl.String:
        numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
    else:
        return _nulls(column, pl.Float64)
    return numbers.set(~numbers.is_finite(), None)


def as_seconds(column: pl.Series) -> pl.Series:
    """Seconds since 1970: from seconds, from milliseconds (numbers of 1e11 and more), or from ISO 8601 text.

    A time without a zone is UTC. Text of digits alone is a number, never a date.
    """
    return _times(column).floor().cast(pl.Int64).alias(column.name)


def as_fractions(column: pl.Series) -> pl.Series:
    """The part of a second that `as_seconds` cuts off, in [0, 1)."""
    times = _times(column)
    return (times - times.floor()).alias(column.name)


def _times(column: pl.Series) -> pl.Series:
    """Seconds since 1970 as float64, good to a microsecond."""
    if column.dtype in (pl.Datetime, pl.Date):
        return column.cast(pl.Datetime("us")).dt.epoch("us") / 1e6
    numbers = as_numbers(column)
    size = numbers.abs()
    seconds = pl.select(
        pl.when(size < _FIRST_MILLISECONDS).then(numbers).when(size < LATEST_TIME).then(numbers / 1000)
    ).to_series()
    if column.dtype != pl.String or not numbers.null_count():
        return seconds
    texts = column.set(numbers.is_not_null(), None)
    known = {text: _iso_seconds(text) for text in texts.drop_nulls().unique()}
    times = texts.replace_strict(list(known), list(known.values()), default=None, return_dtype=pl.Float64)
    return pl.select(pl.coalesce(seconds, times)).to_series()


def as_splits(column: pl.Series) -> pl.Series:
    """Positions in `SPLITS`, from 0, 1, 2 or train, valid, test."""
    texts = as_ids(column).str.strip_chars().str.to_lowercase()
    return texts.replace_strict(list(_SPLITS), list(_SPLITS.values()), default=None, return_dtype=pl.Int8)


def as_texts(column: pl.Series) -> pl.Series:
    """Texts without outer blanks; the members of a list are joined by a blank."""
    texts = [" ".join(_strings(value)) or None for value in column.to_list()]
    return pl.Series(column.name, texts, dtype=pl.String)


def as_category_lists(column: pl.Series, separator: str = "|") -> pl.Series:
    """Lists of categories, each once: members of a (nested) list, or text cut at `separator`; null for none."""
    lists = []
    for value in column.to_list():
        members = _strings(value)
        if isinstance(value, str) and members == [value.strip()]:
            members = _strings(value.split(separator))
        lists.append(list(dict.fromkeys(members)) or None)
    return pl.Series(column.name, lists, dtype=pl.List(pl.String))


def _strings(value: object) -> list[str]:
    """The texts in `value`: one for a scalar, all for a list, also a written one; blank ones and NaN are left out."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("[") and text.endswith("]"):
            listed = _written_list(text)
            if listed is not None:
                return _strings(listed)
        return [text] if text else []
    if isinstance(value, list | tuple):
        return [text for member in value for text in _strings(member)]
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return [] if missing else [str(value)]


def _written_list(text: str) -> list[object] | None:
    """The list that `text` is in JSON or in Python's form, which pandas writes into a cell of a CSV file."""
    for read in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings(action="ignore"):  # of backslashes in Python's form
                value = read(text)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, list) and _only_texts(value) else None
    return None


def _only_texts(values: Iterable[object]) -> bool:
    return all(isinstance(v, str) or v is None or (isinstance(v, list) and _only_texts(v)) for v in values)


def _iso_seconds(text: str) -> float | None:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _nulls(column: pl.Series, dtype: type[pl.DataType]) -> pl.Series:
    return pl.Series(column.name, [None], dtype=dtype).new_from_index(0, len(column))
