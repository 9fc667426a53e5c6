"""Learning-rate schedules: functions from the epochs done, a fraction within an epoch, to a factor on the rate."""

import math
from collections.abc import Callable

__all__ = ["Schedule", "exponential", "warmup_cosine"]

Schedule = Callable[[float], float]


def exponential(decay: float, every: float) -> Schedule:
    """decay^(e / every) for e whole epochs done: a factor `decay` per `every` epochs; decay 1 is constant."""

    def factor(done: float) -> float:
        return float(decay ** (math.floor(done) / every))

    return factor


def warmup_cosine(epochs: float, warmup: float, last: float) -> Schedule:
    """From 0 up to 1 over `warmup` epochs in a straight line, then down to `last` at `epochs` along a half cosine."""

    def factor(done: float) -> float:
        if done < warmup:
            return done / warmup
        share = min((done - warmup) / max(epochs - warmup, 1e-12), 1.0)
        return last + (1.0 - last) * 0.5 * (1.0 + math.cos(math.pi * share))

    return factor
