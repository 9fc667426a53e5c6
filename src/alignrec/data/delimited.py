"""Delimited text (CSV, TSV): every value stays the string it is in the file, so "007" stays "007".

Quoting is RFC 4180's: a field with separators, quotes or line ends stands in double quotes, inner quotes are
doubled. A quote inside an unquoted field is an ordinary character.
"""

import csv
import io
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from typing_extensions import override

from alignrec.data.raw import SkipLog
from alignrec.data.table_files import BLOCK_BYTES, LINE, Irregular, TableFile
from alignrec.data.text_lines import BYTE_ORDER_MARK, DAMAGE, byte_blocks, read_lines
from alignrec.errors import DataError, UsageError

__all__ = ["DelimitedTable"]

_BLOCK_ROWS = 1 << 16
_LONGEST_FIELD = 8 * BLOCK_BYTES  # characters of a value


class DelimitedTable(TableFile):
    """A delimited file; without a header line the columns are called "1", "2", ..."""

    def __init__(self, path: Path, separator: str, *, header: bool = True, block_bytes: int = BLOCK_BYTES) -> None:
        if len(separator.encode()) != 1 or separator in '"\r\n':
            raise UsageError(f"separator {separator!r} cannot be used; give one ASCII character such as ',' or a tab")
        self._separator, self._header, self._block_bytes = separator, header, block_bytes
        outside = b"[^" + re.escape(separator.encode()) + b"\r\n]"
        # a whole field in quotes: between separators or line ends, inner quotes doubled
        self._quoted = re.compile(b'(?<!%b)"(?:[^"]++|"")*+"(?!%b)' % (outside, outside))
        first = next(_records(path, separator, SkipLog()), None)
        if first is None:
            raise DataError(f"{path} is empty; give a file with {'a header line' if header else 'rows'}")
        self._header_line, fields = first
        super().__init__(path, fields if header else [str(n + 1) for n in range(len(fields))])

    @override
    def blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        start = self._header_line if self._header else 0
        try:
            for number, block in enumerate(byte_blocks(self.path, self._block_bytes, quote=b'"')):
                text = block.removeprefix(BYTE_ORDER_MARK).split(b"\n", start)[start] if number == 0 else block
                if text:
                    yield self._parse(text).select(columns)
        except (pl.exceptions.PolarsError, ValueError, IndexError, *DAMAGE) as error:
            raise Irregular(str(error)) from None

    def _parse(self, text: bytes) -> pl.DataFrame:
        # what Polars would read its own way: a mark that it drops, a line end inside a line, misplaced quotes
        odd_mark = text.startswith(BYTE_ORDER_MARK) or text.count(b"\r") != text.count(b"\r\n")
        if odd_mark or (b'"' in text and b'"' in self._quoted.sub(b"", text)):
            raise Irregular("not plain enough")
        frame = pl.read_csv(
            io.BytesIO(text),
            has_header=False,
            separator=self._separator,
            schema=dict.fromkeys(self.columns, pl.String),
        )
        # Polars fills a short row with nulls, the same as empty fields: only the separators tell them apart
        if frame[self.columns[-1]].null_count():
            expected = len(frame) * (len(self.columns) - 1)
            if b'"' in text or text.count(self._separator.encode()) != expected:
                raise Irregular("a row may be too short")
        return frame

    @override
    def exact_blocks(self, columns: Sequence[str], skipped: SkipLog) -> Iterator[pl.DataFrame]:
        places = [self.columns.index(name) for name in columns]
        schema = {LINE: pl.Int64} | dict.fromkeys(columns, pl.String)
        rows: list[tuple[int | str, ...]] = []
        for line, fields in self._rows(skipped):
            rows.append((line, *[fields[place] for place in places]))
            if len(rows) == _BLOCK_ROWS:
                yield pl.DataFrame(rows, schema=schema, orient="row")
                rows.clear()
        yield pl.DataFrame(rows, schema=schema, orient="row")

    def _rows(self, skipped: SkipLog) -> Iterator[tuple[int, list[str]]]:
        width = len(self.columns)
        for line, fields in _records(self.path, self._separator, skipped):
            if self._header and line == self._header_line:
                continue
            if len(fields) == width:
                yield line, fields
                continue
            reason = f"{len(fields)} fields instead of {width}"
            skipped.bad_row(self.where(line), reason, "mend the row, or quote values that hold the separator")


class _Lines(Iterator[str]):
    """Lines for `csv.reader`, which remembers those of the present record so that they can be read again."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._again: deque[tuple[int, str]] = deque()
        self.taken: list[tuple[int, str]] = []

    def __next__(self) -> str:
        entry = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(entry)
        return entry[1] + "\n"

    def return_all_but_first(self) -> None:
        self._again.extendleft(reversed(self.taken[1:]))


@contextmanager
def _long_fields() -> Iterator[None]:
    """Python stops at fields of 131,072 characters, lest a quote that is never closed takes the memory."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _unsplit(error: str) -> tuple[str, str]:
    """Reason and remedy where `csv` could not find the fields of a row."""
    if error.startswith("field larger"):
        return f"a value of more than {_LONGEST_FIELD:,} characters", "close its quotes, or shorten it"
    if error.startswith("new-line character"):
        return "a carriage return without a line feed", "end lines by line feeds, or quote the value that holds it"
    return f"the row cannot be split into fields ({error})", "close or double its quotes"


def _records(path: Path, separator: str, skipped: SkipLog) -> Iterator[tuple[int, list[str]]]:
    """Line of the beginning, and fields, of each row that can be parsed; empty lines are no rows."""
    lines = _Lines(read_lines(path, skipped))
    while True:
        lines.taken.clear()
        try:
            with _long_fields():
                fields = next(csv.reader(lines, delimiter=separator, strict=True))
        except StopIteration:
            return
        except csv.Error as error:
            line = lines.taken[0][0]
            # the row may have swallowed good rows while it looked for the closing quote
            lines.return_all_but_first()
            skipped.bad_row(f"{path} line {line}", *_unsplit(str(error)))
            continue
        if fields:
            yield lines.taken[0][0], fields
