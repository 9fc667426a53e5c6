"""Exact ranks of target items by cosine, a few MB at a time: what every probe measures with.

The scores are computed in tiles in single precision. Whoever comes out so close to the target that rounding could
decide is scored again in double precision, so that a rank is the same for every tile size and thread count, and true
ties are ties. Items with identical vectors (missing pictures, empty texts) are scored once.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alignrec.types import FloatMatrix

__all__ = ["CosineSpace"]

_TIE = 1e-12  # cosines in double precision closer than this are equal
_PAIR_BYTES = 8 << 20  # for the pairs scored again at a time

_Doubles = NDArray[np.float64]
_Indices = NDArray[np.int64]


class CosineSpace:
    """The vectors of I items, ready for ranking; a zero vector has cosine 0 with everything."""

    def __init__(self, matrix: FloatMatrix, *, tile_items: int = 4096) -> None:
        rows = np.ascontiguousarray(matrix, dtype=np.float32) + np.float32(0)  # + 0: -0.0 and 0.0 are one vector
        keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
        _, first, group, copies = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        self.n_items = len(rows)
        self._group: _Indices = group.ravel()  # (I,) row of each item in the three arrays below
        self._copies = copies.astype(np.float32)  # (G,) items with this vector
        self._rows = rows[first]  # (G, d)
        self._lengths = _lengths(self._rows)  # (G,)
        self._unit = np.asarray(self._rows / self._lengths[:, None], dtype=np.float32)  # (G, d)
        self._tile = tile_items
        # Three times the spread that rounding has in a sum of d products, and what storing the factors adds.
        self._doubt = np.float32(3e-7 + 1e-7 * np.sqrt(rows.shape[1]))

    def cosines(self, queries: _Doubles, rows: _Indices, items: _Indices) -> _Doubles:
        """Cosine of `queries[rows[p]]` and item `items[p]`, in double precision, (P,)."""
        return self._exact(queries / _lengths(queries)[:, None], rows, self._group[items])

    def ranks(self, queries: _Doubles, targets: _Indices, excluded: sparse.csr_array) -> _Indices:
        """Rank of each target among all items but the excluded ones, (B, T); see `ProbeResult` for ties.

        `queries` is (B, d), `targets` (B, T) item indices, `excluded` (B, I) names items that are no candidates
        and must not contain a target.
        """
        directions = queries / _lengths(queries)[:, None]  # (B, d)
        single = directions.astype(np.float32)
        goals = np.stack(
            [self._exact(directions, np.arange(len(column)), self._group[column]) for column in targets.T], axis=1
        )  # (B, T)
        out_rows = np.repeat(np.arange(len(queries)), np.diff(excluded.indptr))
        out_groups = self._group[excluded.indices]
        ranks = np.zeros(targets.shape, dtype=np.int64)
        for start in range(0, len(self._rows), self._tile):
            scores = single @ self._unit[start : start + self._tile].T  # (B, tile)
            here = (out_groups >= start) & (out_groups < start + scores.shape[1])
            for column, goal in enumerate(goals.T):
                ahead = self._at_least(scores, goal, directions, start)  # (B, tile)
                gone = ahead[out_rows[here], out_groups[here] - start]
                ranks[:, column] += (ahead @ self._copies[start : start + self._tile]).astype(np.int64)
                ranks[:, column] -= np.bincount(out_rows[here], weights=gone, minlength=len(queries)).astype(np.int64)
        return ranks

    def _at_least(self, scores: FloatMatrix, goal: _Doubles, directions: _Doubles, start: int) -> FloatMatrix:
        """1 where a vector of the tile has at least the cosine `goal` of its row, else 0."""
        limit = goal[:, None]
        ahead = scores > (limit + self._doubt).astype(np.float32)
        if not goal.all():
            # Vectors without a common entry, or of zeros, are 0 in any precision; there can be very many of them.
            ahead |= (scores == 0) & (limit == 0)
        perhaps = scores >= (limit - self._doubt).astype(np.float32)
        rows, columns = np.nonzero(ahead ^ perhaps)  # who is ahead is among the perhaps
        ahead[rows, columns] = self._exact(directions, rows, columns + start) >= goal[rows] - _TIE
        return np.asarray(ahead, dtype=np.float32)

    def _exact(self, directions: _Doubles, rows: _Indices, groups: _Indices) -> _Doubles:
        values = np.empty(len(rows))
        step = max(1, _PAIR_BYTES // (8 * directions.shape[1]))
        for start in range(0, len(rows), step):
            pair = slice(start, start + step)
            dots = np.einsum("bd,bd->b", directions[rows[pair]], self._rows[groups[pair]].astype(np.float64))
            values[pair] = dots / self._lengths[groups[pair]]
        return values


def _lengths(rows: NDArray[np.floating]) -> _Doubles:
    """Euclidean lengths in double precision, never zero, (B,)."""
    squares = np.einsum("bd,bd->b", rows, rows, dtype=np.float64)
    return np.asarray(np.maximum(np.sqrt(squares), 1e-12))
