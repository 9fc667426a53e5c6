"""The graph of users who took the same items: for each user, those with whom most items are shared (DualGNN).

Wang et al., DualGNN: Dual Graph Neural Network for Multimedia Recommendation, IEEE Transactions on Multimedia 2021.
The counts R Rᵀ are nearly dense wherever an item is popular, so they exist for one block of users at a time. The work
is Σ_i d_i² additions over the items' degrees d_i, and a sort of what they add up to.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alignrec.errors import UsageError
from alignrec.graphs.bipartite import degrees
from alignrec.types import Interactions

__all__ = ["co_occurrence"]

_LARGEST_BLOCK = 4096  # users; with it, a user of a block, a count and a user fit into one integer


def co_occurrence(interactions: Interactions, k: int, block_entries: int = 1 << 23) -> sparse.csr_array:
    """The `k` users with whom each user has the most items in common, and how many these are: (U, U), int32.

    Nobody is their own neighbour; a user has fewer than k where fewer share anything. Equal counts are ordered by
    user index. Columns ascend.

    Args:
        interactions: R (U, I).
        k: neighbours of each user.
        block_entries: how many counts a block of users may need, about 30 bytes each; a single user may exceed it.
            The neighbours do not depend on it.

    Raises:
        UsageError: k is smaller than 1.
    """
    if k < 1:
        raise UsageError(f"a user must have at least 1 neighbour, not {k}")
    ones = np.ones(interactions.nnz, dtype=np.int32)
    taken = sparse.csr_array((ones, interactions.indices, interactions.indptr), shape=interactions.shape)
    takers = taken.T.tocsr()
    user_degrees, item_degrees = degrees(interactions)
    work = np.asarray(taken @ item_degrees, dtype=np.int64)
    largest = int(user_degrees.max(initial=0))
    found = [
        _nearest(sparse.csr_array(taken[start:stop] @ takers), start, largest, k)
        for start, stop in _blocks(work, block_entries)
    ]
    lengths, users, counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    graph = sparse.csr_array((counts.astype(np.int32), users, indptr), shape=(taken.shape[0], taken.shape[0]))
    graph.sort_indices()
    return graph


def _blocks(work: NDArray[np.int64], limit: int) -> Iterator[tuple[int, int]]:
    """Cut the users into runs whose `work` (U,) adds up to at most `limit`, or of one user."""
    total = np.concatenate([[0], np.cumsum(work)])
    start = 0
    while start < len(work):
        fits = int(np.searchsorted(total, total[start] + limit, side="right")) - 1
        stop = min(max(fits, start + 1), start + _LARGEST_BLOCK)
        yield start, stop
        start = stop


def _nearest(
    counts: sparse.csr_array, first: int, largest: int, k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Number of neighbours of each row, then who they are and their counts, row by row; row 0 is user `first`."""
    n_rows, n_users = counts.shape
    user_bits, count_bits = n_users.bit_length(), largest.bit_length()
    rows = np.repeat(np.arange(n_rows), np.diff(counts.indptr))
    others = counts.indices != rows + first
    rows, users = rows[others], counts.indices[others].astype(np.int64)
    # One integer that orders by row, then by falling count, then by user
    keys = (((rows << count_bits) + (largest - counts.data[others])) << user_bits) + users
    keys.sort()
    lengths = np.bincount(rows, minlength=n_rows)
    position = np.arange(k)
    places = (np.cumsum(lengths) - lengths)[:, None] + position  # (rows, k)
    best = keys[places[position < lengths[:, None]]]
    found_counts = largest - ((best >> user_bits) & ((1 << count_bits) - 1))
    return np.minimum(lengths, k), best & ((1 << user_bits) - 1), found_counts
