"""Accuracy of ranked lists, per user: recall, NDCG, precision, MAP, hit rate, MRR at any K.

The definitions are those of the MMRec toolbox. T is a user's set of relevant items, a hit is a list place holding one,
ranks r count from 1, h(r) is the number of hits up to rank r. A user without relevant items has no value at all.

- `recall@K`     hits up to K / |T|
- `ndcg@K`       sum over hits of 1/log2(r+1), over the same sum for a list that begins with min(K, |T|) hits
- `precision@K`  hits up to K / K
- `map@K`        sum over hits of h(r)/r, over min(K, |T|): a perfect list has 1
- `map_trec@K`   the same sum over |T|, as trec_eval's map_cut: a user with |T| > K cannot reach 1
- `hit@K`        1 if there is a hit up to K, else 0
- `mrr@K`        1/r of the first hit up to K, else 0
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignrec.errors import UsageError
from alignrec.types import Interactions

__all__ = [
    "DEFAULT_CUTOFFS",
    "DEFAULT_METRICS",
    "METRIC_KINDS",
    "Hits",
    "Metric",
    "deepest_cutoff",
    "find_hits",
    "metric_values",
    "parse_metric",
    "parse_metrics",
]

DEFAULT_CUTOFFS = (5, 10, 20, 50)
_CUTOFF = re.compile(r"[1-9][0-9]{0,8}")
_COMPARISONS = 1 << 20  # list places compared at a time by `find_hits`: 8 MB


@dataclass(frozen=True)
class Metric:
    """What to measure (`kind`) and down to which rank (`cutoff`)."""

    kind: str
    cutoff: int

    def __str__(self) -> str:
        return f"{self.kind}@{self.cutoff}"


@dataclass(frozen=True)
class Hits:
    """The relevant items found in R ranked lists, sorted by list and then by rank."""

    rows: NDArray[np.int64]  # (H,) which list
    ranks: NDArray[np.int64]  # (H,) from 1
    relevant: NDArray[np.int64]  # (R,) |T| of every list's user, at least 1
    cutoff: int  # the rank down to which the lists were searched

    def up_to(self, cutoff: int) -> "Hits":
        """The hits within the first `cutoff` places."""
        keep = self.ranks <= cutoff
        return Hits(self.rows[keep], self.ranks[keep], self.relevant, cutoff)

    def total(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """The sum of `weights` over each list's hits, (R,); without weights their number."""
        return np.bincount(self.rows, weights, minlength=len(self.relevant)).astype(np.float64)


def find_hits(items: NDArray[np.int64], truth: Interactions) -> Hits:
    """Where the relevant items of each row of `truth` (R, I) stand in the same row of `items` (R, K).

    Every relevant pair is compared with its user's list, which is far less work than looking up every listed item:
    a split holds about one relevant item a user, a list fifty. Users without relevant items find none.

    Raises:
        UsageError: a list holds a relevant item more than once, which would count as several hits.
    """
    relevant = np.diff(truth.indptr).astype(np.int64)
    owners = np.repeat(np.arange(len(relevant)), relevant)  # (T,) the list of every relevant pair
    depth = items.shape[1]
    step = max(1, _COMPARISONS // max(depth, 1))
    rows, ranks = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, len(owners), step):
        users, wanted = owners[start : start + step], truth.indices[start : start + step]
        pair, place = np.nonzero(items[users] == wanted[:, None])
        twice = np.flatnonzero(pair[1:] == pair[:-1])
        if len(twice):
            raise UsageError(f"a list holds item {wanted[pair[twice[0]]]} more than once; name an item once in a list")
        rows.append(users[pair])
        ranks.append(place + 1)
    found, rank = np.concatenate(rows), np.concatenate(ranks)
    order = np.lexsort((rank, found))
    return Hits(found[order], rank[order], relevant, depth)


def _recall(hits: Hits) -> NDArray[np.float64]:
    return hits.total() / hits.relevant


def _ndcg(hits: Hits) -> NDArray[np.float64]:
    longest = min(hits.cutoff, int(hits.relevant.max(initial=1)))
    ideal = np.cumsum(1 / np.log2(np.arange(2, longest + 2)))
    gained = hits.total(1 / np.log2(hits.ranks + 1))
    share: NDArray[np.float64] = gained / ideal[np.minimum(hits.relevant, hits.cutoff) - 1]
    return np.minimum(share, 1.0)  # sums in another order may end an ulp above


def _precision(hits: Hits) -> NDArray[np.float64]:
    return hits.total() / hits.cutoff


def _precision_at_hits(hits: Hits) -> NDArray[np.float64]:
    """The sum over hits of h(r)/r."""
    first = np.searchsorted(hits.rows, hits.rows)  # where the list's hits begin
    return hits.total((np.arange(len(hits.rows)) - first + 1) / hits.ranks)


def _map(hits: Hits) -> NDArray[np.float64]:
    return _precision_at_hits(hits) / np.minimum(hits.relevant, hits.cutoff)


def _map_trec(hits: Hits) -> NDArray[np.float64]:
    return _precision_at_hits(hits) / hits.relevant


def _hit(hits: Hits) -> NDArray[np.float64]:
    return (hits.total() > 0).astype(np.float64)


def _mrr(hits: Hits) -> NDArray[np.float64]:
    first = np.ones(len(hits.rows), dtype=bool)
    first[1:] = hits.rows[1:] != hits.rows[:-1]
    return hits.total(first / hits.ranks)


_FORMULAS: dict[str, Callable[[Hits], NDArray[np.float64]]] = {
    "recall": _recall,
    "ndcg": _ndcg,
    "precision": _precision,
    "map": _map,
    "hit": _hit,
    "mrr": _mrr,
    "map_trec": _map_trec,
}
METRIC_KINDS = tuple(_FORMULAS)
DEFAULT_METRICS = tuple(f"{kind}@{k}" for kind in METRIC_KINDS if kind != "map_trec" for k in DEFAULT_CUTOFFS)


def parse_metric(name: str) -> Metric:
    """Read a metric's name, such as `recall@20`.

    Raises:
        UsageError: the name is not KIND@K with a known kind and a positive whole K.
    """
    kind, _, cutoff = name.partition("@")
    if kind not in _FORMULAS or not _CUTOFF.fullmatch(cutoff):
        raise UsageError(f"unknown metric {name!r}; write KIND@K, as in recall@20, with KIND {', '.join(METRIC_KINDS)}")
    return Metric(kind, int(cutoff))


def parse_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """Read metric names; a name given twice counts once.

    Raises:
        UsageError: a name cannot be read, there is none, or `names` is a single string.
    """
    if isinstance(names, str):
        raise UsageError(f"give a list of metrics, not the single string {names!r}")
    metrics = tuple(dict.fromkeys(map(parse_metric, names)))
    if not metrics:
        raise UsageError("no metric given; name at least one, as in recall@20")
    return metrics


def deepest_cutoff(names: Iterable[str]) -> int:
    """The list length that serves all of `names`.

    Raises:
        UsageError: as `parse_metrics`.
    """
    return max(metric.cutoff for metric in parse_metrics(names))


def metric_values(metrics: Iterable[Metric], hits: Hits) -> dict[str, NDArray[np.float64]]:
    """Each metric's value for every list, (R,) in 0..1; all lists must have relevant items."""
    asked = tuple(metrics)
    cut = {k: hits.up_to(k) for k in {metric.cutoff for metric in asked}}
    return {str(metric): _FORMULAS[metric.kind](cut[metric.cutoff]) for metric in asked}
