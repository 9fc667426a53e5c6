"""Who is served badly: the long tail, cold items, users by degree. The ranking stays whole, the truth is restricted.

AlignRec (CIKM'24), Figure 5, evaluates on the long tail of items with fewer than 4 training interactions: a user's
relevant items are cut down to those, all items stay candidates, and the mean is over users who keep at least one.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from alignrec.errors import UsageError
from alignrec.evaluation.evaluate import evaluate
from alignrec.evaluation.metrics import DEFAULT_METRICS, parse_metrics
from alignrec.evaluation.report import Report
from alignrec.types import Interactions, Ranking

__all__ = ["LONG_TAIL", "USER_EDGES", "evaluate_segments", "restrict_to_items", "restrict_to_users"]

LONG_TAIL = 4
USER_EDGES = (1, 4, 6, 11)


def restrict_to_items(truth: Interactions, items: NDArray[np.bool_]) -> Interactions:
    """The pairs of `truth` (U, I) whose item is marked in `items` (I,)."""
    return _keep(truth, items[truth.indices])


def restrict_to_users(truth: Interactions, users: NDArray[np.bool_]) -> Interactions:
    """The pairs of `truth` (U, I) whose user is marked in `users` (U,)."""
    return _keep(truth, np.repeat(users, np.diff(truth.indptr)))


def evaluate_segments(
    ranking: Ranking,
    truth: Interactions,
    train: Interactions,
    metrics: Iterable[str] = DEFAULT_METRICS,
    *,
    users: ArrayLike | None = None,
    long_tail: int = LONG_TAIL,
    user_edges: Sequence[int] = USER_EDGES,
) -> dict[str, Report]:
    """Evaluate the segments of one split, all from the same lists; a segment in which no user counts is left out.

    - `cold items`: truth restricted to items without a training interaction
    - `long-tail items (<N)`: to items with fewer than N = `long_tail` of them, the cold ones included
    - `other items`: to the rest
    - `users A-B`: users with A to B training interactions, buckets beginning at each of `user_edges`;
      users below the first edge are in none. The first buckets are the long tail by user.

    Raises:
        UsageError: edges that do not rise or a long tail below 1; as `evaluate`.
    """
    if long_tail < 1:
        raise UsageError(f"long_tail must be at least 1, not {long_tail}")
    edges = list(user_edges)
    if edges != sorted(set(edges)):
        raise UsageError(f"user_edges must rise, not {edges}")
    item_degrees = np.bincount(train.indices, minlength=int(train.shape[1]))
    user_degrees = np.diff(train.indptr)
    segments = {
        "cold items": restrict_to_items(truth, item_degrees == 0),
        f"long-tail items (<{long_tail})": restrict_to_items(truth, item_degrees < long_tail),
        "other items": restrict_to_items(truth, item_degrees >= long_tail),
    }
    for place, low in enumerate(edges):
        high = edges[place + 1] - 1 if place + 1 < len(edges) else None
        members = user_degrees >= low if high is None else (user_degrees >= low) & (user_degrees <= high)
        segments[_bucket(low, high)] = restrict_to_users(truth, members)
    names = tuple(map(str, parse_metrics(metrics)))
    owners = np.arange(int(truth.shape[0])) if users is None else np.asarray(users, dtype=np.int64).reshape(-1)
    return {
        name: evaluate(ranking, part, names, users=users, split=name)
        for name, part in segments.items()
        if np.diff(part.indptr)[owners].any()
    }


def _bucket(low: int, high: int | None) -> str:
    if high is None:
        return f"users {low}+"
    return f"users {low}" if low == high else f"users {low}-{high}"


def _keep(truth: Interactions, pairs: NDArray[np.bool_]) -> Interactions:
    before = np.concatenate([[0], np.cumsum(pairs)])
    return sparse.csr_array((truth.data[pairs], truth.indices[pairs], before[truth.indptr]), shape=truth.shape)
