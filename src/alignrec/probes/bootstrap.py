"""How sure a recall is: percentile bootstrap over the cases (Efron 1979; Efron and Tibshirani 1993, chapter 13).

A case adds one of a few values to the mean: 0 or 1 for a hit, -1, 0 or 1 for the difference of two hits. How often each
value is drawn when C cases are drawn with replacement is multinomial. So the resampled means are drawn from exactly
the bootstrap's distribution without drawing a single case, and their cost does not grow with C.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alignrec.runtime import numpy_rng

__all__ = ["Interval", "bootstrap_interval"]

_CELLS = 1 << 20  # counts drawn at a time


class Interval(NamedTuple):
    """From `low` to `high`, both in it."""

    low: float
    high: float


def bootstrap_interval(
    *samples: NDArray[np.floating], seed: int = 0, level: float = 0.95, resamples: int = 10_000
) -> Interval:
    """Interval of the mean of the sample (C,); of several, of the sum of their means.

    Give one array of differences, case by case, for a paired comparison; give several arrays where the cases are of
    different kinds (users here, items there), which are resampled independently. The interval is empty, low = high,
    where all cases have the same value: no resampling can show what no case does.
    """
    rng = numpy_rng(seed, "bootstrap")
    means = np.zeros(resamples)
    for sample in samples:
        means += _resampled_means(sample, resamples, rng)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _resampled_means(sample: NDArray[np.floating], resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    # Rounded, so that one value that was computed in two ways is not two.
    values, counts = np.unique(np.round(sample, 12), return_counts=True)
    means, step = np.empty(resamples), max(1, _CELLS // len(values))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.multinomial(len(sample), counts / len(sample), size=size)  # (size, values)
        means[start : start + size] = drawn @ values / len(sample)
    return means
