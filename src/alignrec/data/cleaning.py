"""Which interactions stay: a minimum rating, one row per user and item, and the iterated k-core.

The k-core is MMRec's: users and items with fewer than k rows are found on one and the same snapshot, all
their rows are dropped, and this repeats until nobody is below k. MMRec drops a repeated row only if user,
item *and* time agree; here a user and an item meet at most once, and the first such row of the source stays,
since a matrix of interactions cannot hold the pair twice. Ratings come first: a pair whose first rating is
too low stays if a later rating of it is high enough.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignrec.errors import DataError

__all__ = ["CleaningReport", "clean", "first_of_each_pair", "k_core"]

Codes = NDArray[np.int32]  # (E,) any numbering of users or items from 0
Rows = NDArray[np.bool_]  # (E,) true where the row stays


@dataclass(frozen=True)
class CleaningReport:
    """How many interactions each step dropped."""

    read: int  # rows of the source
    min_rating: float | None
    below_rating: int  # rows with a lower rating than `min_rating`, or with none
    repeated: int  # rows whose user and item had met before
    core: int  # k; 0 where no k-core was taken
    core_rounds: int  # rounds that dropped something
    below_core: int  # rows dropped by the k-core
    core_users: int  # users dropped by the k-core
    core_items: int  # items dropped by the k-core
    kept: int


def clean(
    users: Codes,
    items: Codes,
    ratings: NDArray[np.float64] | None = None,
    *,
    core: int = 0,
    min_rating: float | None = None,
) -> tuple[NDArray[np.intp], CleaningReport]:
    """The rows that stay, ascending, and what each step dropped.

    Args:
        users: (E,) a number per user.
        items: (E,) a number per item.
        ratings: (E,) NaN where a row has none.
        core: k of the k-core; 0 takes none.
        min_rating: the lowest rating that counts as an interaction; None counts all.

    Raises:
        DataError: nothing is left, or `min_rating` is given and there are no ratings.
    """
    if core < 0:
        raise DataError(f"core must be 0 (no k-core) or a positive number, not {core}")
    rated = _rated_at_least(users, ratings, min_rating)
    rows = np.flatnonzero(rated)
    distinct = rows[first_of_each_pair(users[rows], items[rows])]
    inside, rounds = k_core(users[distinct], items[distinct], core)
    kept = distinct[inside]
    report = CleaningReport(
        read=len(users),
        min_rating=min_rating,
        below_rating=len(users) - len(rows),
        repeated=len(rows) - len(distinct),
        core=core,
        core_rounds=rounds,
        below_core=len(distinct) - len(kept),
        core_users=_distinct(users[distinct]) - _distinct(users[kept]),
        core_items=_distinct(items[distinct]) - _distinct(items[kept]),
        kept=len(kept),
    )
    if not report.kept:
        raise DataError(_why_empty(report))
    return kept, report


def first_of_each_pair(users: Codes, items: Codes) -> Rows:
    """True for the first row of each (user, item)."""
    width = int(items.max()) + 1 if len(items) else 1
    _, first = np.unique(users.astype(np.int64) * width + items, return_index=True)
    rows = np.zeros(len(users), dtype=bool)
    rows[first] = True
    return rows


def k_core(users: Codes, items: Codes, core: int) -> tuple[Rows, int]:
    """The rows of the largest part in which every user and every item has at least `core` rows.

    Returns:
        The rows, and the number of rounds that dropped something.
    """
    rows = np.ones(len(users), dtype=bool)
    rounds = 0
    while core > 1:
        enough_users = np.bincount(users[rows], minlength=1) >= core
        enough_items = np.bincount(items[rows], minlength=1) >= core
        inside = np.flatnonzero(rows)
        outside = inside[~(enough_users[users[inside]] & enough_items[items[inside]])]
        if not len(outside):
            break
        rows[outside] = False
        rounds += 1
    return rows, rounds


def _rated_at_least(users: Codes, ratings: NDArray[np.float64] | None, min_rating: float | None) -> Rows:
    if min_rating is None:
        return np.ones(len(users), dtype=bool)
    if ratings is None:
        raise DataError(
            f"a minimum rating of {min_rating:g} is asked for, but the source has no ratings; leave it out or name them"
        )
    return np.asarray(ratings >= min_rating)  # NaN is below everything


def _distinct(codes: Codes) -> int:
    return int(np.count_nonzero(np.bincount(codes))) if len(codes) else 0


def _why_empty(report: CleaningReport) -> str:
    if not report.read:
        return "the source holds no interactions; give a file with at least one row"
    if report.below_rating == report.read:
        return f"no interaction is rated {report.min_rating:g} or higher; lower --min-rating"
    return (
        f"the {report.core}-core is empty: no part of the {report.read - report.below_rating - report.repeated} "
        f"interactions gives every user and item {report.core}; take a smaller --core (0 for none)"
    )
