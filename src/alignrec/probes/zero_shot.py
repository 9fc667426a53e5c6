"""Zero-shot recommendation: do the vectors of what a user took point to what the user took next?

Per user all interactions in time order; the target is the last item, the user's vector the mean of the others'
vectors; all items but those others are ranked by cosine. AlignRec (Liu et al., CIKM 2024), section 4.4.2.
The paper leaves open what is decided here: splits do not matter, equal times keep the order of the source,
the mean is over the vectors as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alignrec.data import InteractionLog
from alignrec.errors import DataError, FeatureError
from alignrec.features import FeatureTable
from alignrec.features.table import unit_rows
from alignrec.probes.cosine_rank import CosineSpace
from alignrec.probes.result import CUTOFFS, ProbeResult, check_cutoffs
from alignrec.progress import Reporter
from alignrec.runtime import numpy_rng
from alignrec.types import FloatMatrix

__all__ = ["zero_shot"]


def zero_shot(
    features: FeatureTable,
    log: InteractionLog,
    *,
    ks: Sequence[int] = CUTOFFS,
    exclude_history: bool = True,
    normalize_rows: bool = False,
    tie_seed: int | None = None,
    tile_users: int = 256,
    reporter: Reporter | None = None,
) -> ProbeResult:
    """Run the protocol over every user with at least two different items.

    Args:
        features: vectors (I, d), row i = item i of `log`.
        log: interactions of all splits. An item that a user took several times counts at its last time.
        ks: list lengths of the recalls.
        exclude_history: leave the items of the user's vector out of the candidates. With them kept, most
            lists begin with the history itself, which is closest to its own mean.
        normalize_rows: scale every item's vector to length 1 before the mean.
        tie_seed: order equal times at random by this seed instead of by the source's order. Without
            timestamps all times are equal.
        tile_users: users scored at a time; changes memory and speed, never the result.
        reporter: told of every user done.

    Raises:
        DataError: no user has two different items.
        FeatureError: an interaction names an item that has no row.
    """
    cutoffs = check_cutoffs(ks)
    if len(log) and int(log.items.max()) >= len(features.matrix):
        raise FeatureError(
            f"features {features.name!r} have {len(features.matrix)} rows but the interactions name item "
            f"{int(log.items.max())}; give features of the same dataset"
        )
    cases = _cases(log, len(features.matrix), tie_seed)
    matrix = unit_rows(features.matrix) if normalize_rows else features.matrix
    space = CosineSpace(features.matrix)
    ranks = np.empty(len(cases.users), dtype=np.int64)
    for start in range(0, len(ranks), tile_users):
        rows = slice(start, start + tile_users)
        histories, targets = cases.histories[rows], cases.targets[rows, None]
        excluded = histories if exclude_history else _empty_rows(histories)
        ranks[rows] = space.ranks(_sums(histories, matrix), targets, excluded)[:, 0]
        if reporter:
            reporter.advance(len(targets))
    lengths = np.diff(cases.histories.indptr) if exclude_history else np.zeros_like(ranks)
    return ProbeResult(
        protocol="zero-shot",
        features=features.name,
        ks=cutoffs,
        cases=cases.users,
        ranks=ranks,
        candidates=space.n_items - lengths.astype(np.int64),
        skipped=cases.skipped,
        notes=(
            cases.order,
            "candidates: all items but the user's other ones" if exclude_history else "candidates: all items",
            "user vector: mean of unit vectors" if normalize_rows else "user vector: mean of the vectors as they are",
        ),
    )


@dataclass(frozen=True)
class _Cases:
    users: NDArray[np.int64]  # (C,)
    targets: NDArray[np.int64]  # (C,)
    histories: sparse.csr_array  # (C, I)
    skipped: int
    order: str


def _cases(log: InteractionLog, n_items: int, tie_seed: int | None) -> _Cases:
    """Each user's last item and the items before it."""
    times = np.zeros(len(log), dtype=np.int64) if log.timestamps is None else log.timestamps
    position = np.arange(len(log)) if tie_seed is None else numpy_rng(tie_seed, "zero-shot").permutation(len(log))
    order = np.lexsort((position, times, log.users))
    pairs = log.users[order].astype(np.int64) * n_items + log.items[order]
    _, from_end = np.unique(pairs[::-1], return_index=True)  # the last time of each pair
    order = order[np.sort(len(pairs) - 1 - from_end)]
    users, items, times = log.users[order].astype(np.int64), log.items[order].astype(np.int64), times[order]

    present, first, counts = np.unique(users, return_index=True, return_counts=True)
    kept = counts > 1
    if not kept.any():
        raise DataError("no user has two different items, so there is nothing to predict from; give more interactions")
    last = (first + counts - 1)[kept]
    is_history = np.repeat(kept, counts)
    is_history[last] = False
    pointers = np.concatenate([[0], np.cumsum(counts[kept] - 1)])
    histories = sparse.csr_array(
        (np.ones(pointers[-1], dtype=np.float32), items[is_history], pointers), shape=(len(last), n_items)
    )
    return _Cases(
        users=present[kept],
        targets=items[last],
        histories=histories,
        skipped=int((~kept).sum()),
        order=_describe_order(log, int((times[last] == times[last - 1]).sum()), tie_seed),
    )


def _describe_order(log: InteractionLog, tied: int, tie_seed: int | None) -> str:
    rule = "in the order of the source" if tie_seed is None else f"at random (seed {tie_seed})"
    if log.timestamps is None:
        return f"target: the user's last item {rule}; the interactions have no timestamps"
    return f"target: the user's latest item; {tied} users have equal last times, ordered {rule}"


def _sums(histories: sparse.csr_array, matrix: FloatMatrix) -> NDArray[np.float64]:
    """Sum of each history's vectors, (B, d): the mean, but for a factor that no cosine sees."""
    items, columns = np.unique(histories.indices, return_inverse=True)
    compact = sparse.csr_array(
        (histories.data.astype(np.float64), columns, histories.indptr), shape=(histories.shape[0], len(items))
    )
    return np.asarray(compact @ matrix[items].astype(np.float64))


def _empty_rows(like: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array((like.data[:0], like.indices[:0], np.zeros_like(like.indptr)), shape=like.shape)
