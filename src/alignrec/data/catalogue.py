"""The catalogue of a dataset: one row per item in index order. Of a file only the rows that are asked for are read."""

from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from alignrec.data.fingerprint import hash_columns
from alignrec.errors import ArtifactError

__all__ = ["Catalogue"]

_BLOCK = 4096  # rows read at once, and written as a group


class Catalogue:
    """I rows with the columns `item_id`, `title`, `brand`, `categories`, `description`, `image`.

    Of a catalogue in a file only a few thousand rows are in memory, until `frame` is asked for.

    Args:
        source: the rows, or a Parquet file with them, which must stay where it is, and as it is.

    Raises:
        ArtifactError: the file is missing or damaged, or has no column `item_id`.
    """

    def __init__(self, source: pl.DataFrame | Path) -> None:
        self._file = source if isinstance(source, Path) else None
        self._state = self._look()
        # a folder may be called data[1]
        self._scan = pl.scan_parquet(source, glob=False) if isinstance(source, Path) else source.lazy()
        self.schema = self._read(self._scan.head(0)).schema
        if "item_id" not in self.schema:
            raise ArtifactError(f"{self._file or 'the catalogue'} has no column 'item_id'; import the dataset again")
        self._n_items = int(self._read(self._scan.select(pl.len())).item())
        self._last = (-1, pl.DataFrame())  # the block read last, after its number

    def __len__(self) -> int:
        return self._n_items

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All rows, kept in memory from the first call on.

        Raises:
            ArtifactError: the file is not there any more, or another.
        """
        frame = self._read(self._scan)
        self._file, self._state, self._scan = None, None, frame.lazy()  # the file may go now
        return frame

    def column(self, name: str) -> pl.Series:
        """One column whole; it raises what `frame` does."""
        return self._read(self._scan.select(name)).to_series()

    def rows(self, which: range) -> pl.DataFrame:
        """Neighbouring rows; it raises what `frame` does."""
        first, last = which.start // _BLOCK, (which.stop - 1) // _BLOCK
        parts = [self._block(number) for number in range(first, last + 1)] or [self._block(first)]
        joined = parts[0] if len(parts) == 1 else pl.concat(parts)
        return joined.slice(which.start - first * _BLOCK, len(which))

    def value(self, column: str, item: int) -> Any:  # Any: str, list of str or None, as the column is
        """What the item number `item` has in `column`; it raises what `frame` does."""
        return self._block(item // _BLOCK)[column][item % _BLOCK]

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of names and values of all columns."""
        return hash_columns(self.schema.names(), len(self), self._part)

    def write(self, file: Path) -> None:
        """Write all rows as Parquet, in groups that can be read one by one.

        Raises:
            PolarsError: it cannot be written.
        """
        self.frame.write_parquet(file, row_group_size=_BLOCK)

    def _block(self, number: int) -> pl.DataFrame:
        known, rows = self._last  # one name for both: another thread may read too
        if known != number:
            rows = self._read(self._scan.slice(number * _BLOCK, _BLOCK))
            self._last = (number, rows)
        return rows

    def _part(self, column: str, start: int, count: int) -> pl.Series:
        return self._read(self._scan.select(column).slice(start, count)).to_series()

    def _read(self, scan: pl.LazyFrame) -> pl.DataFrame:
        if self._look() != self._state:
            raise ArtifactError(f"{self._file} was changed after it had been opened; load the dataset again")
        try:
            return scan.collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise ArtifactError(f"{self._file} is not readable ({error}); import the dataset again") from None

    def _look(self) -> tuple[int, int, int] | None:
        """What tells this file from another of its name."""
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except OSError:
            raise ArtifactError(f"{self._file} is missing; import the dataset again") from None
        return found.st_ino, found.st_size, found.st_mtime_ns
