"""ItemKNN: what is bought together, without training (Sarwar et al., WWW 2001). The line a trained model must beat.

With n_ij the users who took both i and j, and d_i those who took i,

    s_ij = n_ij / (√(d_i d_j) + shrink) ;  score(u, i) = Σ over the items j of u that are among the nearest of i of s_ij

The cosine of two items that one and the same user took alone is 1; `shrink` keeps such pairs from standing above pairs
that many users took. Sparse throughout and in blocks: no users x items or items x items matrix exists.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from alignrec.errors import UsageError
from alignrec.types import Interactions, Ranking

__all__ = ["item_knn"]

_ROWS = 1024  # items, or users, at a time


def item_knn(train: Interactions, k: int, *, n_neighbors: int = 500, shrink: float = 100.0) -> Ranking:
    """The k best unseen items of every user; ties by the lowest item index.

    Args:
        train: (U, I) training interactions; a user's own items are left out of the list.
        k: length of the lists; items without any score are not listed, the rest of a short list is item -1.
        n_neighbors: nearest items kept per item, itself not among them.
        shrink: 0 or more; 0 is the plain cosine.

    Returns:
        items (U, k) int64 and scores (U, k) float32.

    Raises:
        UsageError: k or n_neighbors below 1, or shrink below 0.
    """
    if k < 1 or n_neighbors < 1 or shrink < 0:
        raise UsageError(
            f"k is {k}, n_neighbors {n_neighbors}, shrink {shrink}; k and n_neighbors must be 1 or more, "
            "shrink 0 or more"
        )
    taken = sparse.csr_array((np.ones(train.nnz), train.indices, train.indptr), shape=train.shape)
    near = _neighbours(taken, n_neighbors, shrink).T.tocsr()  # (I, I): near[j, i] = s_ij
    items = np.full((taken.shape[0], k), -1, dtype=np.int64)
    scores = np.full((taken.shape[0], k), -np.inf, dtype=np.float32)
    for start in range(0, taken.shape[0], _ROWS):
        rows = taken[start : start + _ROWS]
        tile = (rows @ near).tocsr()
        unseen = tile - tile.multiply(rows)  # what the user has already becomes an exact 0
        row, column, value, place = _best(sparse.csr_array(unseen), k)
        items[start + row, place], scores[start + row, place] = column, value
    return Ranking(torch.from_numpy(items), torch.from_numpy(scores))


def _neighbours(taken: sparse.csr_array, n_neighbors: int, shrink: float) -> sparse.csr_array:
    """s_ij of the nearest j of every i, (I, I)."""
    roots = np.sqrt(np.asarray(taken.sum(axis=0)).reshape(-1))
    by_item, n_items = taken.T.tocsr(), taken.shape[1]
    kept = []
    for start in range(0, n_items, _ROWS):
        block = sparse.coo_array(by_item[start : start + _ROWS] @ taken)
        others = block.col != block.row + start
        row, column, together = block.row[others], block.col[others], block.data[others]
        values = together / (roots[row + start] * roots[column] + shrink)
        near = sparse.csr_array((values, (row, column)), shape=block.shape)
        row, column, value, _ = _best(near, n_neighbors)
        kept.append(sparse.csr_array((value, (row, column)), shape=block.shape))
    return sparse.csr_array(sparse.vstack(kept))


def _best(
    matrix: sparse.csr_array, k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Row, column, value and place (0 best) of the k largest positive entries of each row, ties by column."""
    entries = sparse.coo_array(matrix)
    positive = entries.data > 0
    row, column = (np.asarray(side[positive], dtype=np.int64) for side in (entries.row, entries.col))
    value = np.asarray(entries.data[positive], dtype=np.float64)
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    firsts = np.searchsorted(row, np.arange(matrix.shape[0]))
    place = np.asarray(np.arange(len(row)) - firsts[row], dtype=np.int64)
    best = place < k
    return row[best], column[best], value[best], place[best]
