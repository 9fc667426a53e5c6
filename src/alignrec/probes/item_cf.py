"""Item-CF recommendation: is the item that the same people take close by its vector, too?

The target of item j is the item i with the highest s_ij = |U_i ∩ U_j| / sqrt(|U_i| |U_j|) (Sarwar et al., WWW 2001);
all items but j are ranked by the cosine of their vectors with j's. AlignRec (Liu et al., CIKM 2024), section 4.4.2.
Equal highest scores are common (two items that share one user): the smallest index is the target, and the recall
that counts any of them is given beside it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alignrec.errors import DataError, FeatureError
from alignrec.features import FeatureTable
from alignrec.probes.cosine_rank import CosineSpace
from alignrec.probes.result import CUTOFFS, ProbeResult, check_cutoffs
from alignrec.progress import Reporter
from alignrec.types import Interactions

__all__ = ["item_cf"]


def item_cf(
    features: FeatureTable,
    interactions: Interactions,
    *,
    ks: Sequence[int] = CUTOFFS,
    tile_items: int = 256,
    tile_pairs: int = 1_000_000,
    reporter: Reporter | None = None,
) -> ProbeResult:
    """Run the protocol over every item that shares a user with another.

    Args:
        features: vectors (I, d), row i = item i.
        interactions: (U, I); usually those of all splits, as the features saw none of them.
        ks: list lengths of the recalls.
        tile_items: items scored at a time; changes memory and speed, never the result.
        tile_pairs: bound on the pairs of items counted at a time (12 bytes each).
        reporter: told of every item done.

    Raises:
        DataError: no two items share a user.
        FeatureError: the number of rows is not I.
    """
    cutoffs = check_cutoffs(ks)
    if interactions.shape[1] != len(features.matrix):
        raise FeatureError(
            f"features {features.name!r} have {len(features.matrix)} rows for {interactions.shape[1]} items; "
            "give features of the same dataset"
        )
    space = CosineSpace(features.matrix)
    items, ranks, several = [], [], 0
    for start, best in _neighbour_blocks(interactions, tile_items, tile_pairs):
        found = np.flatnonzero(np.diff(best.indptr))  # (B,) rows of the block that have a target
        asking = found + start
        queries = features.matrix[asking].astype(np.float64)
        pair = np.stack([best.indices[best.indptr[found]], _closest(space, queries, best[found])], axis=1)
        ranks.append(space.ranks(queries, pair, _only(asking, space.n_items)))
        items.append(asking)
        several += int((np.diff(best.indptr) > 1).sum())
        if reporter:
            reporter.advance(best.shape[0])
    cases = np.concatenate(items)
    if not len(cases):
        raise DataError("no two items share a user, so item-CF has no targets; give more interactions")
    both = np.concatenate(ranks)
    return ProbeResult(
        protocol="item-cf",
        features=features.name,
        ks=cutoffs,
        cases=cases,
        ranks=both[:, 0],
        candidates=np.full(len(cases), space.n_items - 1, dtype=np.int64),
        skipped=space.n_items - len(cases),
        notes=(
            f"target: highest item-CF score; {several} items have several such, the smallest index is taken",
            "candidates: all other items",
        ),
        tied_ranks=both[:, 1],
    )


def _neighbour_blocks(
    interactions: Interactions, tile_items: int, tile_pairs: int
) -> Iterator[tuple[int, sparse.csr_array]]:
    """Consecutive items and, for each, the other items of the highest item-CF score, ascending."""
    by_user = sparse.csr_array(
        (np.ones(interactions.nnz, dtype=np.int32), interactions.indices, interactions.indptr), shape=interactions.shape
    )
    by_item = by_user.T.tocsr()  # (I, U)
    popularity = np.diff(by_item.indptr).astype(np.float64)  # (I,) |U_i|
    start, n_items = 0, by_item.shape[0]
    neighbours = np.minimum(by_item @ np.diff(by_user.indptr).astype(np.int64), n_items)  # (I,) at most so many
    before = np.concatenate([[0], np.cumsum(neighbours)])
    while start < n_items:
        room = int(np.searchsorted(before, before[start] + tile_pairs, side="right")) - 1
        stop = min(max(room, start + 1), start + tile_items, n_items)
        shared = sparse.csr_array(by_item[start:stop] @ by_user)  # (B, I) |U_i ∩ U_j|
        yield start, _best(shared, start, popularity)
        start = stop


def _best(shared: sparse.csr_array, start: int, popularity: NDArray[np.float64]) -> sparse.csr_array:
    """Keep the entries of each row that have its highest score, the item itself left out."""
    rows = np.repeat(np.arange(shared.shape[0]), np.diff(shared.indptr))
    other = shared.indices != rows + start
    rows, columns, counts = rows[other], shared.indices[other].astype(np.int64), shared.data[other]
    # For one j the order of s_ij is that of |U_i ∩ U_j|² / |U_i|: one correctly rounded division, so equal stays equal.
    scores = counts.astype(np.float64) ** 2 / popularity[columns]
    highest = np.zeros(shared.shape[0])
    np.maximum.at(highest, rows, scores)
    best = scores == highest[rows]
    rows, columns = rows[best], columns[best]
    pointers = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shared.shape[0]))])
    matrix = sparse.csr_array((np.ones(len(rows), dtype=np.float32), columns, pointers), shape=shared.shape)
    matrix.sort_indices()
    return matrix


def _closest(space: CosineSpace, queries: NDArray[np.float64], best: sparse.csr_array) -> NDArray[np.int64]:
    """Of each row's items the one with the highest cosine, (B,)."""
    rows = np.repeat(np.arange(best.shape[0]), np.diff(best.indptr))
    cosines = space.cosines(queries, rows, best.indices.astype(np.int64))
    order = np.lexsort((best.indices, -cosines, rows))
    return best.indices[order][best.indptr[:-1]].astype(np.int64)


def _only(items: NDArray[np.int64], n_items: int) -> sparse.csr_array:
    """Row b holds item `items[b]` alone, (B, I)."""
    return sparse.csr_array(
        (np.ones(len(items), dtype=np.float32), items, np.arange(len(items) + 1)), shape=(len(items), n_items)
    )
