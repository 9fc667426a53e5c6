"""Vectors on their way to a feature table: file by file in a folder, so that hours of encoding survive the process.

A shard is the rows of some neighbouring items. It is on the disk whole or not at all, and one that is there is not
made again. So the folder's name must say all that the vectors follow from.
"""

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alignrec.artifacts import write_bytes
from alignrec.errors import ArtifactError
from alignrec.types import FloatMatrix

__all__ = ["VectorShards"]


@dataclass(frozen=True)
class VectorShards:
    """The vectors of `items` items in `folder`, `size` rows a file; iterating reads one file after the other."""

    folder: Path
    items: int
    size: int

    def missing(self) -> list[range]:
        """The rows of each shard that is not there."""
        starts = range(0, self.items, self.size)
        rows = [range(start, min(start + self.size, self.items)) for start in starts]
        return [part for part in rows if self._read(part) is None]

    def write(self, rows: range, vectors: FloatMatrix) -> None:
        """Keep the vectors (len(rows), D) of one of the `missing` shards."""
        content = io.BytesIO()
        np.save(content, vectors)
        write_bytes(self._file(rows), content.getvalue())

    def __iter__(self) -> Iterator[FloatMatrix]:
        """Each shard (n, D) in item order, mapped from the disk.

        Raises:
            ArtifactError: a shard is not there (any more).
        """
        for start in range(0, self.items, self.size):
            rows = range(start, min(start + self.size, self.items))
            vectors = self._read(rows)
            if vectors is None:
                raise ArtifactError(f"{self._file(rows)} is not there any more; run the extraction again")
            yield vectors

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, rows: range) -> Path:
        return self.folder / f"{rows.start:09d}.npy"

    def _read(self, rows: range) -> FloatMatrix | None:
        """One shard, mapped; None where there is none, or one that is not whole."""
        try:
            vectors = np.lib.format.open_memmap(self._file(rows), mode="r")
        except (OSError, ValueError):
            return None
        return vectors if vectors.ndim == 2 and len(vectors) == len(rows) else None
