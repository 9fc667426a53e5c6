"""What a probe found: where the one right item landed among the candidates, case by case."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignrec.errors import UsageError
from alignrec.evaluation import sample_std
from alignrec.probes.bootstrap import Interval, bootstrap_interval

__all__ = ["CUTOFFS", "Difference", "ProbeResult", "check_cutoffs", "paired_difference"]

CUTOFFS = (10, 20, 50)  # the paper's K


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """One feature table under one protocol: C cases, each with a single target item.

    A rank counts the candidates that score at least as high as the target, the target among them: 1 is
    first, and an item that ties with the target stands before it. A protocol that draws (the masked ones) asks
    each case once per draw; a case's hit is then the share of the draws, and the figures are means over them.
    """

    protocol: str  # "zero-shot", "item-cf", "vision masked" or "text masked"
    features: str
    ks: tuple[int, ...]
    cases: NDArray[np.int64]  # (C,) index of the user (item-cf: item) that asks
    ranks: NDArray[np.int64]  # (C,) rank of the target, or (draws, C)
    candidates: NDArray[np.int64]  # (C,) how many items it was ranked among
    skipped: int  # users or items that have no target
    notes: tuple[str, ...] = ()  # how ambiguities were decided, in words
    tied_ranks: NDArray[np.int64] | None = None  # (C,) best rank of all equally right targets, where there are such

    def hits(self, k: int) -> NDArray[np.float64]:
        """Whether each case has its target among the first k, 0 or 1 or the share of the draws, (C,)."""
        return np.asarray(np.atleast_2d(self.ranks <= k).mean(axis=0))

    def recall(self, k: int) -> float:
        """Share of the cases with the target among the first k."""
        return float(self.hits(k).mean())

    def recall_by_draw(self, k: int) -> list[float]:
        """`recall(k)` of each draw; one value where nothing is drawn."""
        return [float(share) for share in np.atleast_2d(self.ranks <= k).mean(axis=1)]

    def spread(self, k: int) -> float | None:
        """Standard deviation of `recall(k)` over the draws; None where there are not at least two."""
        return sample_std(self.recall_by_draw(k))

    def standard_error(self, k: int) -> float:
        """Standard error of `recall(k)` over the cases."""
        return float(self.hits(k).std() / np.sqrt(len(self.cases)))

    def interval(self, k: int, *, seed: int = 0) -> Interval:
        """95 % bootstrap interval of `recall(k)` over the cases; the draws of the masks stay as they are."""
        return bootstrap_interval(self.hits(k), seed=seed)

    def tied_recall(self, k: int) -> float | None:
        """`recall(k)` if any of the equally right targets counts; None where the protocol has one target only."""
        return None if self.tied_ranks is None else float((self.tied_ranks <= k).mean())

    def chance(self, k: int) -> float:
        """Recall@k that a random order has on average: k / candidates, averaged over the cases."""
        return float(np.minimum(1.0, k / self.candidates).mean())

    def as_dict(self, *, seed: int = 0) -> dict[str, Any]:  # Any: JSON values
        """The figures as a JSON object; `seed` is of the bootstrap."""
        values: dict[str, Any] = {
            "protocol": self.protocol,
            "features": self.features,
            "cases": len(self.cases),
            "skipped": self.skipped,
            "recall": {str(k): self.recall(k) for k in self.ks},
            "standard_error": {str(k): self.standard_error(k) for k in self.ks},
            "interval": {str(k): list(self.interval(k, seed=seed)) for k in self.ks},
            "chance": {str(k): self.chance(k) for k in self.ks},
            "notes": list(self.notes),
        }
        if self.tied_ranks is not None:
            values["recall_any_tied_target"] = {str(k): self.tied_recall(k) for k in self.ks}
        if self.ranks.ndim == 2:
            values["recall_by_draw"] = {str(k): self.recall_by_draw(k) for k in self.ks}
            values["spread_over_draws"] = {str(k): self.spread(k) for k in self.ks}
        return values


@dataclass(frozen=True)
class Difference:
    """Recall of one feature table minus that of another, over the same cases."""

    value: float
    interval: Interval  # 95 %, paired bootstrap

    @property
    def is_level(self) -> bool:
        """Whether the interval includes 0."""
        return self.interval.low <= 0 <= self.interval.high


def paired_difference(first: ProbeResult, second: ProbeResult, k: int, *, seed: int = 0) -> Difference:
    """Recall@k of `first` minus that of `second`, compared case by case.

    Raises:
        UsageError: the two are of different protocols or cases.
    """
    if first.protocol != second.protocol or not np.array_equal(first.cases, second.cases):
        raise UsageError(
            f"{first.protocol} of {first.features!r} and {second.protocol} of {second.features!r} do not ask the same "
            "cases; compare results of one protocol on one dataset"
        )
    differences = first.hits(k) - second.hits(k)
    return Difference(float(differences.mean()), bootstrap_interval(differences, seed=seed))


def check_cutoffs(ks: Iterable[int]) -> tuple[int, ...]:
    """The list lengths K, each once and ascending.

    Raises:
        UsageError: there is none, or one is not positive.
    """
    values = tuple(sorted({int(k) for k in ks}))
    if not values or values[0] < 1:
        raise UsageError(f"list lengths K must be positive whole numbers, not {', '.join(map(str, values)) or 'none'}")
    return values
