"""The item-item graph: each item and the items whose features point in the most similar direction.

As in LATTICE (Zhang et al. 2021), MGCN and AlignRec's published code, an item is among its own k neighbours and
neighbourhoods are not made mutual. The similarity matrix exists only one block at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from alignrec.errors import FeatureError
from alignrec.graphs.screening import by_row_then_largest, can_screen, screened_neighbors
from alignrec.ops import SMALLEST_NORM, SparseOperator, has_bfloat16_tiles, matmul
from alignrec.types import FloatMatrix

__all__ = ["KnnGraph", "knn", "knn_operator", "mixed_knn_operator"]

_BLOCK_BYTES = 1 << 25

Weighting = Literal["cosine", "binary"]


@dataclass(frozen=True)
class KnnGraph:
    """The k nearest of each of I items, most similar first; equal similarities are ordered by item index."""

    indices: NDArray[np.int64]  # (I, k)
    similarities: NDArray[np.float32]  # (I, k) cosines


def knn(features: FloatMatrix, k: int, block_rows: int | None = None, *, overwrite: bool = False) -> KnnGraph:
    """The `k` items with the largest cosine for each row of `features` (I, d), the row itself among them.

    A row of zeros has cosine 0 with everything. Of many rows that point the same way, as those of items without a
    picture may, each lists itself and the first ones. Each pair of items is multiplied once: a block of rows meets the
    items from its own first on, and what it finds counts for both sides. Beside one block of cosines, only a scaled
    copy of `features` and the result are in memory. A processor that multiplies bfloat16 many times as fast has a
    first look in it, which leaves a few candidates (see `alignrec.graphs.screening`), and half such a copy more, twice
    that at first; which of two items comes first can differ where their cosines differ in the last digit.

    Args:
        features: (I, d).
        k: neighbours of each item.
        block_rows: rows of a block; by default up to 512, fewer where that would take more than 32 MB. The
            neighbours do not depend on it.
        overwrite: scale the rows of `features` in place instead of a copy, for a table as large as the memory and
            not needed afterwards.

    Raises:
        FeatureError: `features` is not a finite matrix, or k is not in 1..I.
    """
    unit = _unit_rows(features, k, overwrite)
    n_items = len(unit)
    if has_bfloat16_tiles() and can_screen(unit, k):
        return _with_itself(*screened_neighbors(unit, k, block_rows))
    step = block_rows or max(1, min(512, _BLOCK_BYTES // (4 * n_items)))
    best = _Best(np.full((n_items, k), n_items), np.full((n_items, k), -np.inf, dtype=np.float32))
    for start in range(0, n_items, step):
        block = matmul(unit[start : start + step], unit[start:].t())  # (t, I - start)
        best.update(start, start, block, axis=1)
        if start + step < n_items:
            best.update(start + step, start, block[:, step:], axis=0)
    return _with_itself(best.indices, best.values)


def _with_itself(indices: NDArray[np.int64], similarities: NDArray[np.float32]) -> KnnGraph:
    """The graph, where a row that k equally similar ones of a smaller index have pushed out takes the last place."""
    rows = np.arange(len(indices))
    absent = np.flatnonzero((indices != rows[:, None]).all(axis=1))
    indices[absent, -1] = absent  # nothing is more similar to a row than itself, but for rounding: the cosine stays
    return KnnGraph(indices, similarities)


@dataclass
class _Best:
    """The k largest cosines met so far by each item, largest first, and whose they are."""

    indices: NDArray[np.int64]  # (I, k)
    values: NDArray[np.float32]  # (I, k)

    def update(self, mine: int, others: int, block: Tensor, axis: Literal[0, 1]) -> None:
        """Show the items numbered from `mine` on their cosines with those from `others` on, along `axis` of `block`.

        Every item meets the others in ascending order, so an equal cosine never replaces one that is there.
        """
        k, n_mine, n_others = self.values.shape[1], block.shape[1 - axis], block.shape[axis]
        cosines, smallest = block.numpy(), np.expand_dims(self.values[mine : mine + n_mine, -1], axis)
        if np.isneginf(smallest).any():  # some have not met k others yet
            smallest = torch.topk(block, min(k, n_others), dim=axis).values.amin(dim=axis, keepdim=True).numpy()
            candidates = np.flatnonzero(cosines >= smallest)
        else:
            candidates = np.flatnonzero(cosines > smallest)
        position = np.divmod(candidates, cosines.shape[1])
        item, other = position[1 - axis] + mine, position[axis] + others
        changed, counts = np.unique(item, return_counts=True)
        all_items = np.concatenate([np.repeat(changed, k), item])
        all_values = np.concatenate([self.values[changed].ravel(), cosines[position]])
        all_others = np.concatenate([self.indices[changed].ravel(), other])
        order = np.argsort(by_row_then_largest(all_items, all_values), kind="stable")  # the others ascend already
        begins = np.cumsum(counts + k) - (counts + k)  # where each changed item begins in that order
        kept = order[begins[:, None] + np.arange(k)]  # (changed, k)
        self.values[changed], self.indices[changed] = all_values[kept], all_others[kept]


def knn_operator(
    features: FloatMatrix, k: int, weighting: Weighting = "cosine", *, overwrite: bool = False
) -> SparseOperator:
    """S (I, I): the nearest neighbours weighted by v_ij / √(g_i g_j), g_i = Σ_j v_ij.

    Args:
        features: (I, d).
        k: neighbours of each item, itself included.
        weighting: `cosine` takes v_ij = the cosine (AlignRec, MGCN); `binary` takes v_ij = 1, hence S = 1/k
            (FREEDOM, DREAM).
        overwrite: as `knn`.

    An item whose row sum g is not positive is cut off: zeros in its row and column. So is, with either weighting, an
    item of zeros, as one without a picture has them: it resembles nothing, not those that come first.
    """
    return SparseOperator.from_scipy(_matrix(knn(features, k, overwrite=overwrite), weighting))


def mixed_knn_operator(
    features: Mapping[str, FloatMatrix], shares: Mapping[str, float], k: int, weighting: Weighting = "cosine"
) -> SparseOperator:
    """Σ_m shares[m] S_m over the modalities m of `features`, S_m as `knn_operator` makes it: one matrix (I, I)."""
    n_items = len(next(iter(features.values())))
    mixed = sparse.csr_array((n_items, n_items))
    for name, table in features.items():
        if shares[name]:
            mixed = sparse.csr_array(mixed + shares[name] * _matrix(knn(table, k), weighting))
    return SparseOperator.from_scipy(mixed)


def _matrix(graph: KnnGraph, weighting: Weighting) -> sparse.csr_array:
    n_items, k = graph.indices.shape
    weights = graph.similarities.astype(np.float64)
    if weighting == "binary":
        points_somewhere = graph.similarities[:, :1] > 0  # else even the cosine with itself is 0
        weights = np.repeat(points_somewhere.astype(np.float64), graph.indices.shape[1], axis=1)
    sums = weights.sum(axis=1)
    scale = np.zeros(n_items)
    np.divide(1.0, np.sqrt(np.maximum(sums, 0.0)), out=scale, where=sums > 0)
    weights = weights * scale[:, None] * scale[graph.indices]
    indptr = np.arange(0, n_items * k + 1, k)
    matrix = sparse.csr_array((weights.ravel(), graph.indices.ravel(), indptr), shape=(n_items, n_items))
    matrix.sort_indices()
    return matrix


def _unit_rows(features: FloatMatrix, k: int, overwrite: bool) -> Tensor:
    table = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
    if table.dim() != 2 or not 1 <= k <= len(table):
        raise FeatureError(
            f"{k} neighbours from a table of shape {features.shape} are not possible; "
            "give a matrix (items, dimensions) and k between 1 and the number of items"
        )
    norm = torch.linalg.vector_norm(table, dim=1, keepdim=True)
    if not bool(torch.isfinite(norm).all()):
        raise FeatureError("the features hold NaN, infinity or numbers too large to square; clean them first")
    norm = norm.clamp_min(SMALLEST_NORM)
    unit: Tensor = table.div_(norm) if overwrite else table / norm
    return unit
