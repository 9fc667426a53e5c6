"""An `.inter` file line by line: slower than polars, but it knows which line is wrong and why."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from alignrec.data.raw import SkipLog
from alignrec.data.table_values import LATEST_TIME
from alignrec.errors import DataError

__all__ = ["INTER_COLUMNS", "MAX_ID", "read_inter_lines"]

INTER_COLUMNS: dict[str, type[pl.DataType]] = {
    "userID": pl.Int64,
    "itemID": pl.Int64,
    "rating": pl.Float64,
    "timestamp": pl.Float64,
    "x_label": pl.Int64,
}
MAX_ID = 2**31 - 2

_WHOLE = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True)
class _Malformed:
    reason: str  # the same for all rows with this fault
    found: str


def read_inter_lines(file: Path, skipped: SkipLog) -> pl.DataFrame:
    """The columns of `INTER_COLUMNS` that `file` has; malformed rows go to `skipped`. Empty lines are passed over.

    Raises:
        DataError: no header, a missing column, or a malformed row that is not to be skipped.
    """
    values: dict[str, list[int | float]] = {}
    with file.open("rb") as stream:
        names = _header(file, stream.readline())
        values = {name: [] for name in INTER_COLUMNS if name in names}
        places = {name: names.index(name) for name in values}
        for number, line in enumerate(stream, start=2):
            text = line.rstrip(b"\r\n")
            if not text:
                continue
            row = _parse(text, len(names), places)
            if isinstance(row, _Malformed):
                where = f"{file} line {number} ({row.found})"
                skipped.bad_row(where, row.reason, f"correct the line (columns {', '.join(names)})")
                continue
            for name, value in zip(values, row, strict=True):
                values[name].append(value)
    return pl.DataFrame(values, schema={name: INTER_COLUMNS[name] for name in values})


def _header(file: Path, line: bytes) -> list[str]:
    try:
        names = line.decode("utf-8-sig").rstrip("\r\n").split("\t")
    except UnicodeDecodeError:
        raise DataError(f"{file} line 1: not UTF-8 text; give a tab-separated .inter file") from None
    for name in ("userID", "itemID"):
        if name not in names:
            raise DataError(
                f"{file} line 1: no column {name!r} among {', '.join(names)!r}; an .inter file is tab-separated with "
                "the header userID, itemID and optionally rating, timestamp, x_label"
            )
    return names


def _parse(line: bytes, width: int, places: dict[str, int]) -> list[int | float] | _Malformed:
    try:
        cells = line.decode().split("\t")
    except UnicodeDecodeError:
        return _Malformed("not UTF-8 text", repr(line[:40]))
    if len(cells) != width:
        return _Malformed("wrong number of values", f"{len(cells)} instead of {width}")
    row: list[int | float] = []
    for name, place in places.items():
        value = _value(name, cells[place])
        if isinstance(value, str):
            return _Malformed(value, repr(cells[place]))
        row.append(value)
    return row


def _value(name: str, cell: str) -> int | float | str:
    """The value of a cell, or what is wrong with it."""
    if name in ("userID", "itemID"):
        fits = _WHOLE.fullmatch(cell) and int(cell) <= MAX_ID
        return int(cell) if fits else f"{name} is not a whole number from 0"
    if name == "x_label":
        return int(cell) if cell in ("0", "1", "2") else "unknown x_label, not 0 (train), 1 (valid) or 2 (test)"
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        return f"{name} is not a number"
    late = name == "timestamp" and abs(number) >= LATEST_TIME
    return "timestamp is not in seconds or milliseconds since 1970" if late else number
