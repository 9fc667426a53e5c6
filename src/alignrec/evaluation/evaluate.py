"""From ranked lists to reports. Takes rankings, not models; one ranking serves every split.

MMRec's protocol: all items are candidates, only the user's *training* items are masked (validation items stay in the
lists at test time and the other way round), and a user counts in a split only with at least one relevant item there.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alignrec.errors import DataError, UsageError
from alignrec.evaluation.beyond import beyond_accuracy
from alignrec.evaluation.metrics import DEFAULT_METRICS, Metric, deepest_cutoff, find_hits, metric_values, parse_metrics
from alignrec.evaluation.report import Report
from alignrec.ranking import top_k
from alignrec.types import Embeddings, Interactions, Ranking

__all__ = ["BEYOND_CUTOFF", "evaluate", "evaluate_embeddings", "evaluate_splits"]

BEYOND_CUTOFF = 20


def evaluate(
    ranking: Ranking,
    truth: Interactions,
    metrics: Iterable[str] = DEFAULT_METRICS,
    *,
    users: ArrayLike | None = None,
    train: Interactions | None = None,
    split: str = "test",
) -> Report:
    """Compare ranked lists with the relevant items of one split.

    Args:
        ranking: lists (R, k), at least as long as the deepest metric asks, or as there are items.
        truth: (U, I) relevant pairs.
        metrics: names such as `recall@20`.
        users: which user each list belongs to, (R,); by default list r is user r's and R = U.
        train: (U, I) training pairs; given, the report has the figures beyond accuracy too.
        split: the report's name.

    Raises:
        UsageError: an unknown metric, lists too short or with a hit that stands twice, or lists and users that do
            not fit.
        DataError: no ranked user has a relevant item.
    """
    asked = parse_metrics(metrics)
    owners = _owners(ranking, truth, users)
    items = ranking.items.numpy(force=True)
    _check_lists(items, asked, truth.shape[1])
    counted = np.flatnonzero(np.diff(truth.indptr)[owners])
    if not len(counted):
        raise DataError(f"no ranked user has a relevant item in {split!r}; there is nothing to evaluate")
    wanted, lists = truth, items
    if len(counted) < len(items) or users is not None:
        wanted, lists = truth[owners[counted]], items[counted]
    hits = find_hits(lists, wanted)
    beyond = beyond_accuracy(items, train, min(BEYOND_CUTOFF, items.shape[1])) if train is not None else {}
    return Report(split, owners[counted], metric_values(asked, hits), int(hits.relevant.sum()), beyond)


def evaluate_splits(
    ranking: Ranking,
    truths: Mapping[str, Interactions],
    metrics: Iterable[str] = DEFAULT_METRICS,
    *,
    users: ArrayLike | None = None,
    train: Interactions | None = None,
) -> dict[str, Report]:
    """`evaluate` for each named split, from the same lists.

    Raises:
        UsageError, DataError: as `evaluate`.
    """
    names = tuple(map(str, parse_metrics(metrics)))
    return {
        split: evaluate(ranking, truth, names, users=users, train=train, split=split) for split, truth in truths.items()
    }


def evaluate_embeddings(
    embeddings: Embeddings,
    truths: Mapping[str, Interactions],
    *,
    seen: Interactions,
    metrics: Iterable[str] = DEFAULT_METRICS,
) -> dict[str, Report]:
    """Rank once the users who have relevant items in any of `truths` (U, I), and evaluate each split from these lists.

    `seen` (U, I) are the training interactions: masked in the lists, and the measure of popularity beyond accuracy.

    Raises:
        UsageError, DataError: as `evaluate`.
        TrainingError: embeddings that cannot be scored.
    """
    names = tuple(map(str, parse_metrics(metrics)))
    if not truths:
        raise UsageError("no split given to evaluate; name at least one, such as valid")
    counts = np.sum([np.diff(truth.indptr) for truth in truths.values()], axis=0)
    users = np.flatnonzero(counts)
    chosen = None if len(users) == len(counts) else users
    length = min(deepest_cutoff(names), max(len(embeddings.items), BEYOND_CUTOFF))  # beyond all items nothing stands
    ranking = top_k(embeddings.users, embeddings.items, length, exclude=seen, rows=chosen)
    return evaluate_splits(ranking, truths, names, users=chosen, train=seen)


def _owners(ranking: Ranking, truth: Interactions, users: ArrayLike | None) -> NDArray[np.int64]:
    n_lists, n_users = len(ranking.items), int(truth.shape[0])
    if users is None:
        if n_lists != n_users:
            raise UsageError(f"{n_lists} lists for {n_users} users; say with users= whose they are")
        return np.arange(n_users)
    owners = np.asarray(users, dtype=np.int64).reshape(-1)
    if len(owners) != n_lists:
        raise UsageError(f"{n_lists} lists but {len(owners)} users are named; there must be one user per list")
    if len(owners) and not 0 <= owners.min() <= owners.max() < n_users:
        raise UsageError(f"user {owners.min()} or {owners.max()} does not exist; users go from 0 to {n_users - 1}")
    return owners


def _check_lists(items: NDArray[np.int64], metrics: tuple[Metric, ...], n_items: int) -> None:
    deepest = max(metrics, key=lambda metric: metric.cutoff)
    if items.shape[1] < min(deepest.cutoff, n_items):
        raise UsageError(f"{deepest} needs lists of {deepest.cutoff} items, these have {items.shape[1]}; rank more")
    if items.size and items.max() >= n_items:
        raise UsageError(f"the lists name item {items.max()}, but there are {n_items} items; rank the same dataset")
