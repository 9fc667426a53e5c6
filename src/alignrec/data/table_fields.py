"""Read chosen columns of a table as fields with a meaning; bad values are found with their line.

The fast way is tried first. At the first value that cannot be read, the whole file is read again the exact way,
which names the line or, if rows are to be skipped, counts them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from alignrec.data.delimited import DelimitedTable
from alignrec.data.json_lines import JsonLinesTable
from alignrec.data.raw import SkipLog
from alignrec.data.table_files import LINE, Irregular, ParquetTable, TableFile
from alignrec.data.table_values import as_fractions, as_ids, as_numbers, as_seconds, as_splits
from alignrec.data.text_lines import plain_suffix
from alignrec.errors import DataError, UsageError

__all__ = ["FORMATS", "Field", "choose_column", "id_field", "open_table", "read_fields", "standard_fields"]

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".inter": "\t"}
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_FRACTION = "\0fraction"  # of a second; it orders rows and is then left out
FORMATS = (*_SEPARATORS, *_JSON_LINES, *_PARQUET)  # each also with .gz


@dataclass(frozen=True)
class Field:
    """One column of the result."""

    name: str  # in the result
    column: str  # in the file
    convert: Callable[[pl.Series], pl.Series]
    problem: str  # what a value is when `convert` gives null: "is not a number"
    remedy: str
    null_is_bad: Literal["always", "where filled", "never"] = "always"  # "where filled": an empty value is no error


def open_table(path: Path, *, separator: str | None = None, header: bool = True, alike: bool = False) -> TableFile:
    """Open a table by its suffix (`FORMATS`, also with `.gz`); with `separator` it is delimited text whatever its name.

    Where all objects of a JSON Lines file are known to be `alike`, it is not searched for keys that come late.

    Raises:
        DataError: the file does not exist, is empty, has another suffix, or repeats a column.
        UsageError: an unusable separator, or no header asked for in a format that names its columns itself.
    """
    suffix = plain_suffix(path)
    if separator is not None or suffix in _SEPARATORS:
        return DelimitedTable(path, separator or _SEPARATORS[suffix], header=header)
    if not path.exists():
        raise DataError(f"{path} does not exist; give an existing folder or file")
    if suffix not in FORMATS:
        raise DataError(
            f"{path}: cannot tell the format from {suffix or 'no suffix'!r}; give {', '.join(FORMATS)} (or with .gz), "
            "or name the separator of a delimited file"
        )
    if not header:
        raise UsageError(f"{path} names its own columns; a file without a header can only be delimited text")
    return JsonLinesTable(path, alike=alike) if suffix in _JSON_LINES else ParquetTable(path)


def choose_column(table: TableFile, given: str | None, candidates: Sequence[str], what: str, option: str) -> str | None:
    """The column `given`, which must exist, else the first of `candidates` that exists, else None.

    Raises:
        DataError: there is no column `given`; the columns that exist are listed.
    """
    if given is None:
        return next((name for name in candidates if name in table.columns), None)
    if given not in table.columns:
        have = ", ".join(table.columns)
        raise DataError(f"{table.path} has no column {given!r} for the {what}; it has: {have}; name one with {option}")
    return given


def id_field(name: str, column: str) -> Field:
    """A user's or item's id."""
    return Field(name, column, as_ids, f"is no {name.removesuffix('_id')} id", "fill the id in or drop the row")


def standard_fields(rating: str | None = None, timestamp: str | None = None, split: str | None = None) -> list[Field]:
    """Fields of those columns that are given. A rating may be empty; a timestamp or split may not.

    A timestamp makes two, of whole seconds and of the part of a second.
    """
    fields = []
    if rating is not None:
        fields.append(Field("rating", rating, as_numbers, "is not a number", "mend the rating", "where filled"))
    if timestamp is not None:
        remedy = "give seconds or milliseconds since 1970, or ISO 8601 such as 2024-05-31T12:00:00"
        fields.append(Field("timestamp", timestamp, as_seconds, "is not a timestamp", remedy))
        fields.append(Field(_FRACTION, timestamp, as_fractions, "is not a timestamp", remedy, "never"))
    if split is not None:
        remedy = "give 0, 1, 2 or train, valid, test"
        fields.append(Field("split", split, as_splits, "is not a split", remedy))
    return fields


def read_fields(table: TableFile, fields: Sequence[Field], skipped: SkipLog, *, exact: bool = False) -> pl.DataFrame:
    """The fields of all good rows in the file's order; with column `LINE` too if the exact way was taken.

    Of a user's rows of one second, those of milliseconds that are not in order change their places.

    Raises:
        DataError: a malformed row or an unreadable value, unless `skipped` lets such rows go.
    """
    columns = list(dict.fromkeys(field.column for field in fields))
    if not exact:
        try:
            good = (_good_block(block, fields) for block in table.blocks(columns))
            return _in_order_of_time(pl.concat([_empty(fields), *good]))
        except Irregular:
            pass  # read again below
    blocks = [_judged_block(table, block, fields, skipped) for block in table.exact_blocks(columns, skipped)]
    none = _empty(fields).with_columns(pl.lit(0, pl.Int64).alias(LINE))
    return _in_order_of_time(pl.concat(blocks) if blocks else none)


def _in_order_of_time(frame: pl.DataFrame) -> pl.DataFrame:
    if _FRACTION not in frame.columns:
        return frame
    fractions, frame = frame[_FRACTION].to_numpy(), frame.drop(_FRACTION)
    if not fractions.any():
        return frame
    users, seconds = frame["user"].rank("dense").to_numpy(), frame["timestamp"].to_numpy()
    places = np.empty(len(frame), dtype=np.int64)
    places[np.lexsort((seconds, users))] = np.lexsort((fractions, seconds, users))
    return frame[places]


def _empty(fields: Sequence[Field]) -> pl.DataFrame:
    return _converted(pl.DataFrame(schema=dict.fromkeys((field.column for field in fields), pl.String)), fields)


def _converted(block: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
    return pl.DataFrame([field.convert(block[field.column]).alias(field.name) for field in fields])


def _good_block(block: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
    frame = _converted(block, fields)
    if any(_bad_rows(block, frame, field).any() for field in fields):
        raise Irregular("a value cannot be read")
    return frame


def _bad_rows(block: pl.DataFrame, frame: pl.DataFrame, field: Field) -> pl.Series:
    unread = frame[field.name].is_null()
    if field.null_is_bad == "never":
        return unread & False
    return unread & _filled(block[field.column]) if field.null_is_bad == "where filled" and unread.any() else unread


def _filled(values: pl.Series) -> pl.Series:
    if values.dtype != pl.String:
        return values.is_not_null()
    return (values.str.strip_chars().str.len_bytes() > 0).fill_null(value=False)


def _judged_block(table: TableFile, block: pl.DataFrame, fields: Sequence[Field], skipped: SkipLog) -> pl.DataFrame:
    frame = _converted(block, fields).with_columns(block[LINE].cast(pl.Int64))
    bad = {field: _bad_rows(block, frame, field) for field in fields}
    any_bad = pl.DataFrame([rows.alias(field.name) for field, rows in bad.items()]).select(
        pl.any_horizontal(pl.all()).alias("bad")
    )["bad"]
    for row in any_bad.arg_true():
        field = next(field for field, rows in bad.items() if rows[row])
        cell = block[field.column][row]
        value = cell.to_list() if isinstance(cell, pl.Series) else cell  # a list is a series to Polars
        where = table.where(block[LINE][row])
        if value is None or (isinstance(value, str) and not value):
            skipped.bad_row(where, f"column {field.column!r} is empty", field.remedy)
        else:  # the value is no part of the reason, by which skipped rows are counted
            skipped.bad_row(f"{where} ({str(value)[:80]!r})", f"column {field.column!r} {field.problem}", field.remedy)
    return frame.filter(~any_bad)
