"""What recommended lists are like beyond accuracy: coverage, novelty, concentration, share of the long tail.

These look at the lists of all ranked users down to rank K; no truth is involved. I is the number of items, U of users,
d_i the number of users who took item i in training; empty places of short lists (item -1) do not count.

- `coverage@K`    share of the I items that stand in at least one list
- `novelty@K`     mean over all listed places of -log2(max(d_i, 1) / U), in bits: 0 for an item everybody took,
                  log2(U) for one taken by one user or none (Zhou et al., PNAS 2010)
- `gini@K`        Gini coefficient of how often each of the I items is listed: 0 when all are listed equally often,
                  1 - 1/I when every place holds the same item
- `tail_share@K`  share of listed places that hold a long-tail item; the head is the ceil(I/5) items with the most
                  training users (ties by item index), the tail is the rest
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from alignrec.evaluation.metrics import parse_metrics
from alignrec.types import Interactions

__all__ = ["BEYOND_KINDS", "HEAD_SHARE", "beyond_accuracy", "divide_metrics", "gini", "head_items", "is_beyond"]

BEYOND_KINDS = ("coverage", "novelty", "gini", "tail_share")
HEAD_SHARE = 0.2


def is_beyond(name: str) -> bool:
    """Whether `name` is of a figure beyond accuracy, as `coverage@20`."""
    return name.partition("@")[0] in BEYOND_KINDS


def divide_metrics(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The accuracy metrics among `names`, which are checked, and the figures beyond accuracy; each name once.

    Raises:
        UsageError: an unknown metric, or no name at all.
    """
    asked = list(dict.fromkeys(names))
    beyond = [name for name in asked if is_beyond(name)]
    accuracy = [name for name in asked if not is_beyond(name)]
    if accuracy or not beyond:
        parse_metrics(accuracy)
    return accuracy, beyond


def beyond_accuracy(items: NDArray[np.int64], train: Interactions, cutoff: int) -> dict[str, float]:
    """The four figures, named as above, for lists (R, k) cut at `cutoff`; {} if nothing is listed."""
    listed = items[:, :cutoff].reshape(-1)
    listed = listed[listed >= 0]
    if not len(listed):
        return {}
    n_users, n_items = train.shape
    exposure = np.bincount(listed, minlength=n_items)  # (I,) how often each item is listed
    degrees = np.bincount(train.indices, minlength=n_items)
    information = -np.log2(np.maximum(degrees, 1) / n_users)
    return {
        f"coverage@{cutoff}": float(np.count_nonzero(exposure) / n_items),
        f"novelty@{cutoff}": float(exposure @ information / len(listed)) + 0.0,  # no -0.0
        f"gini@{cutoff}": gini(exposure),
        f"tail_share@{cutoff}": float(exposure[~head_items(degrees)].sum() / len(listed)),
    }


def gini(counts: NDArray[np.int64]) -> float:
    """Gini coefficient of non-negative counts (I,), not all zero: sum_j (2j - I - 1) x_(j) / (I sum x), x ascending."""
    n = len(counts)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ np.sort(counts)) / (n * float(counts.sum()))


def head_items(degrees: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which items (I,) belong to the head: the fifth with the largest degrees, ties by item index."""
    order = np.argsort(-degrees, kind="stable")
    head = np.zeros(len(degrees), dtype=bool)
    head[order[: -(-len(degrees) // round(1 / HEAD_SHARE))]] = True
    return head
