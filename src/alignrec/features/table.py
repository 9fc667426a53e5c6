"""A feature table: one vector per item, the modality it describes, and where it came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignrec.artifacts import hash_arrays
from alignrec.errors import FeatureError
from alignrec.types import FloatMatrix

__all__ = ["RAW_JOIN", "FeatureTable", "fuse", "unit_rows"]

RAW_JOIN = "raw:"  # begins the name of tables that were joined as they are

_VALUES = 1 << 22  # looked at at once


@dataclass(frozen=True)
class FeatureTable:
    """Vectors (I, d) of the items `item_ids`, row by row.

    Raises:
        FeatureError: the matrix is not two-dimensional, has another number of rows than there are ids,
            repeats an id, or holds a value that is not finite.
    """

    name: str
    modality: str  # what the vectors describe: "image", "text", "audio", "image+text"
    item_ids: Sequence[str]
    matrix: FloatMatrix  # (I, d) float32
    provenance: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON values: how it was made

    def __post_init__(self) -> None:
        if not isinstance(self.matrix, np.ndarray):
            raise FeatureError(
                f"features {self.name!r} are a {type(self.matrix).__name__}; give a NumPy array (items, size)"
            )
        if self.matrix.ndim != 2 or 0 in self.matrix.shape:
            raise FeatureError(
                f"features {self.name!r} have shape {self.matrix.shape}; give one vector per item, (items, size)"
            )
        if len(self.item_ids) != len(self.matrix):
            raise FeatureError(
                f"features {self.name!r} have {len(self.matrix)} rows for {len(self.item_ids)} items; give one per item"
            )
        if len(set(self.item_ids)) != len(self.item_ids):
            raise FeatureError(f"features {self.name!r} name an item twice; keep one row per item")
        object.__setattr__(self, "matrix", np.ascontiguousarray(self.matrix, dtype=np.float32))
        bad = _rows_not_finite(self.matrix)
        if len(bad):
            row = int(bad[0])
            raise FeatureError(
                f"features {self.name!r} are not finite in {len(bad)} rows, first row {row} "
                f"(item {self.item_ids[row]!r}); mend or drop these rows"
            )

    @property
    def size(self) -> int:
        """Length d of a vector."""
        return int(self.matrix.shape[1])

    @property
    def content_hash(self) -> str:
        """SHA-256 of the values: the cache key of everything derived from them."""
        return hash_arrays(self.matrix)

    def align(self, item_ids: Sequence[str]) -> FloatMatrix:
        """The vectors in the order of `item_ids`, (len(item_ids), d). Rows of other items are left out.

        Raises:
            FeatureError: an item has no row.
        """
        if list(self.item_ids) == list(item_ids):
            return self.matrix
        row_of = {item: row for row, item in enumerate(self.item_ids)}
        missing = [item for item in item_ids if item not in row_of]
        if missing:
            raise FeatureError(
                f"features {self.name!r} lack {len(missing)} of {len(item_ids)} items, first {missing[0]!r}; "
                "extract them for this dataset"
            )
        return np.ascontiguousarray(self.matrix[[row_of[item] for item in item_ids]])


def _rows_not_finite(matrix: FloatMatrix) -> NDArray[np.int64]:
    """Numbers of the rows that hold NaN or infinity; a few million values at a time are looked at."""
    step = max(1, _VALUES // matrix.shape[1])
    starts = range(0, len(matrix), step)
    return np.concatenate(
        [start + np.flatnonzero(~np.isfinite(matrix[start : start + step]).all(axis=1)) for start in starts]
    )


def fuse(tables: Sequence[FeatureTable], *, raw: bool = False) -> FeatureTable:
    """Join tables side by side, each block scaled so that every row has length 1 (zero rows stay zero).

    Without the scaling the modality with the larger norm decides every similarity. A single table comes back as it is.

    Args:
        tables: of the same items.
        raw: leave the blocks as they are; the name, `raw:a+b`, says so.

    Raises:
        FeatureError: no table, or one that lacks items of the first.
    """
    if not tables:
        raise FeatureError("nothing to fuse; name at least one feature table")
    if len(tables) == 1:
        return tables[0]
    ids = tables[0].item_ids
    blocks = [table.align(ids) if raw else unit_rows(table.align(ids)) for table in tables]
    return FeatureTable(
        name=(RAW_JOIN if raw else "") + "+".join(table.name for table in tables),
        modality="+".join(table.modality for table in tables),
        item_ids=ids,
        matrix=np.concatenate(blocks, axis=1),
        provenance={
            "fused": [
                {
                    "name": t.name,
                    "hash": t.content_hash,
                    "modality": t.modality,
                    "size": t.size,
                    "provenance": dict(t.provenance),
                }
                for t in tables
            ],
            "rows": "as they are" if raw else "each block L2-normalised",
        },
    )


def unit_rows(matrix: FloatMatrix) -> FloatMatrix:
    """Rows scaled to length 1; a zero row stays zero."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.maximum(norms, 1e-12), dtype=np.float32)
