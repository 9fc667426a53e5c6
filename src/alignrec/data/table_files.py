"""Files with rows and columns: delimited text, JSON Lines, Parquet; each read fast, or exactly with its line numbers.

The fast way hands blocks of bytes to Polars and gives up at the first irregularity. The exact way is slower,
knows the line of every row, and is taken only after the fast one gave up.
"""

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from typing_extensions import override

from alignrec.data.raw import SkipLog
from alignrec.data.text_lines import DAMAGE, is_gzip, open_binary
from alignrec.errors import DataError

__all__ = ["BLOCK_BYTES", "LINE", "Irregular", "ParquetTable", "TableFile"]

BLOCK_BYTES = 1 << 22  # of text handed to Polars at a time
LINE = "\0line"  # the column that exact blocks add: where a row begins in the file
_BLOCK_ROWS = 1 << 19


class Irregular(Exception):  # noqa: N818  # not an error of the user: it changes the way of reading
    """The fast way met something that only the exact way can judge."""


class TableFile(ABC):
    """A file of rows; `columns` are the names in it."""

    unit = "line"  # what LINE counts

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = path, list(columns)
        repeated = next((name for name in self.columns if self.columns.count(name) > 1), None)
        if repeated is not None:
            raise DataError(f"{path} line 1: column {repeated!r} occurs twice; rename one of them")

    def where(self, line: int) -> str:
        """How messages name a row: "ratings.csv line 3"."""
        return f"{self.path} {self.unit} {line}"

    @abstractmethod
    def blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The named columns, some rows at a time.

        Raises:
            Irregular: the exact way must be taken.
        """

    @abstractmethod
    def exact_blocks(self, columns: Sequence[str], skipped: SkipLog) -> Iterator[pl.DataFrame]:
        """The named columns and `LINE`, some rows at a time; malformed rows go to `skipped`."""


class ParquetTable(TableFile):
    """A Parquet file; it keeps its own types. `unit` is a row counted from 1."""

    unit = "row"

    def __init__(self, path: Path) -> None:
        with _plain_file(path) as plain, _as_data_error(path):
            super().__init__(path, pl.scan_parquet(plain, glob=False).collect_schema().names())

    @override
    def blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        with _plain_file(self.path) as plain, _as_data_error(self.path):
            frame, start = pl.scan_parquet(plain, glob=False).select(columns), 0
            while len(block := frame.slice(start, _BLOCK_ROWS).collect()):
                yield block
                start += len(block)

    @override
    def exact_blocks(self, columns: Sequence[str], skipped: SkipLog) -> Iterator[pl.DataFrame]:
        start = 1
        for block in self.blocks(columns):
            yield block.with_row_index(LINE, offset=start)
            start += len(block)


@contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} is not a readable Parquet file ({reason}); write or download it again") from None


@contextmanager
def _plain_file(path: Path) -> Iterator[Path]:
    """`path`, or a temporary decompressed copy of it: Parquet is not read from front to back."""
    if not path.is_file():
        raise DataError(f"cannot read {path} (no such file); give an existing file")
    if not is_gzip(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.stem
        try:
            with open_binary(path) as source, plain.open("wb") as target:
                shutil.copyfileobj(source, target)
        except DAMAGE:
            raise DataError(
                f"{path}: the gzip stream breaks off or is damaged; download or compress the file again"
            ) from None
        yield plain
