"""Is a difference between two recommenders more than chance? Tests over users and over seeds, and Holm's correction.

SciPy does the statistics; all tests are two-sided. Over users: the paired t-test and the Wilcoxon signed-rank test
(pairs without a difference are dropped). Over seeds: the t-test, paired where both sides ran the same seeds, Welch's
otherwise. Holm (Scandinavian Journal of Statistics 1979) bounds the probability of one or more false positives among
several comparisons.

A p-value of None means that the test has no answer: there are fewer than two pairs (or, for Welch, fewer than two
seeds on a side), or a t-test has no spread to measure the difference by. Where all differences are 0, p is 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from alignrec.errors import UsageError

__all__ = ["Significance", "holm", "paired_t_test", "sample_std", "seed_t_test", "wilcoxon_test"]

_DECIMALS = 12  # metrics lie in 0..1: what is smaller comes from the order of a sum, and would make or break ties


def sample_std(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample, as of runs that differ by their seed; None of fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True)
class Significance:
    """One test of first minus second."""

    test: str  # "paired t", "wilcoxon", "welch t"
    n: int  # pairs; for Welch the values of both sides
    difference: float  # mean of the first minus mean of the second
    p: float | None  # two-sided, not corrected; None: the test has no answer


def paired_t_test(first: ArrayLike, second: ArrayLike) -> Significance:
    """Paired t-test of values (n,) of the same users (or seeds) in the same order.

    Raises:
        UsageError: the two are not of one length, or hold a value that is not finite.
    """
    differences = _differences(first, second)
    if len(differences) < 2:
        p = None
    elif not differences.any():
        p = 1.0
    elif np.ptp(differences) == 0:
        p = None
    else:
        p = float(stats.ttest_1samp(differences, 0.0).pvalue)
    return Significance("paired t", len(differences), _mean(differences), p)


def wilcoxon_test(first: ArrayLike, second: ArrayLike) -> Significance:
    """Wilcoxon signed-rank test of values (n,) of the same users in the same order.

    Raises:
        UsageError: the two are not of one length, or hold a value that is not finite.
    """
    differences = _differences(first, second)
    if len(differences) < 2:
        p = None
    elif not differences.any():
        p = 1.0
    else:
        p = float(stats.wilcoxon(differences[differences != 0]).pvalue)
    return Significance("wilcoxon", len(differences), _mean(differences), p)


def seed_t_test(first: Mapping[int, float], second: Mapping[int, float]) -> Significance:
    """The t-test of one figure per seed: paired by seed where both have the same seeds, else Welch's.

    Raises:
        UsageError: a value is not finite.
    """
    if set(first) == set(second):
        seeds = sorted(first)
        return paired_t_test([first[seed] for seed in seeds], [second[seed] for seed in seeds])
    sides = [_finite(list(side.values())) for side in (first, second)]
    means = [_mean(side) for side in sides]
    difference = round(means[0] - means[1], _DECIMALS)
    if min(len(side) for side in sides) < 2:
        return Significance("welch t", len(sides[0]) + len(sides[1]), difference, None)
    spreads = [float(side.std(ddof=1)) for side in sides]
    p: float | None
    if max(spreads) < 10.0**-_DECIMALS:
        p = 1.0 if difference == 0 else None
    else:
        ours, theirs = ((mean, spread, len(side)) for mean, spread, side in zip(means, spreads, sides, strict=True))
        p = float(stats.ttest_ind_from_stats(*ours, *theirs, equal_var=False).pvalue)
    return Significance("welch t", len(sides[0]) + len(sides[1]), difference, p)


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's corrected p-values of one family of comparisons, in the order given; None stays and does not count."""
    known = [place for place, p in enumerate(p_values) if p is not None]
    order = sorted(known, key=lambda place: p_values[place] or 0.0)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * (p_values[place] or 0.0)))
        corrected[place] = highest
    return tuple(corrected)


def _differences(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    a, b = _finite(first), _finite(second)
    if a.shape != b.shape:
        raise UsageError(f"paired values must be of the same users, but there are {len(a)} and {len(b)}")
    return np.round(a - b, _DECIMALS) + 0.0


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    if not np.isfinite(array).all():
        raise UsageError("a value to test is not finite; evaluate the run again")
    return array


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
