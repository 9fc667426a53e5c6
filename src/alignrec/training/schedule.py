"""Learning-rate schedules: functions from the epoch number (0 first) to a factor on the learning rate."""

from collections.abc import Callable

__all__ = ["Schedule", "exponential"]

Schedule = Callable[[int], float]


def exponential(decay: float, every: float) -> Schedule:
    """decay^(epoch / every): smooth, a factor `decay` per `every` epochs; decay 1 is constant."""

    def factor(epoch: int) -> float:
        return float(decay ** (epoch / every))

    return factor
