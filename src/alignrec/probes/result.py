"""What a probe found: where the one right item landed among the candidates, case by case."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignrec.errors import UsageError

__all__ = ["CUTOFFS", "ProbeResult", "check_cutoffs"]

CUTOFFS = (10, 20, 50)  # the paper's K


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """One feature table under one protocol: C cases, each with a single target item.

    A rank counts the candidates that score at least as high as the target, the target among them: 1 is
    first, and an item that ties with the target stands before it.
    """

    protocol: str  # "zero-shot" or "item-cf"
    features: str
    ks: tuple[int, ...]
    cases: NDArray[np.int64]  # (C,) index of the user (zero-shot) or item (item-cf) that asks
    ranks: NDArray[np.int64]  # (C,) rank of the target
    candidates: NDArray[np.int64]  # (C,) how many items it was ranked among
    skipped: int  # users or items that have no target
    notes: tuple[str, ...] = ()  # how ambiguities were decided, in words
    tied_ranks: NDArray[np.int64] | None = None  # (C,) best rank of all equally right targets, where there are such

    def hits(self, k: int) -> NDArray[np.bool_]:
        """Whether each case has its target among the first k, (C,)."""
        return self.ranks <= k

    def recall(self, k: int) -> float:
        """Share of the cases with the target among the first k."""
        return float(self.hits(k).mean())

    def standard_error(self, k: int) -> float:
        """Standard error of `recall(k)` over the cases."""
        return float(self.hits(k).std() / np.sqrt(len(self.cases)))

    def tied_recall(self, k: int) -> float | None:
        """`recall(k)` if any of the equally right targets counts; None where the protocol has one target only."""
        return None if self.tied_ranks is None else float((self.tied_ranks <= k).mean())

    def chance(self, k: int) -> float:
        """Recall@k that a random order has on average: k / candidates, averaged over the cases."""
        return float(np.minimum(1.0, k / self.candidates).mean())

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """The figures as a JSON object."""
        values: dict[str, Any] = {
            "protocol": self.protocol,
            "features": self.features,
            "cases": len(self.cases),
            "skipped": self.skipped,
            "recall": {str(k): self.recall(k) for k in self.ks},
            "standard_error": {str(k): self.standard_error(k) for k in self.ks},
            "chance": {str(k): self.chance(k) for k in self.ks},
            "notes": list(self.notes),
        }
        if self.tied_ranks is not None:
            values["recall_any_tied_target"] = {str(k): self.tied_recall(k) for k in self.ks}
        return values


def check_cutoffs(ks: Iterable[int]) -> tuple[int, ...]:
    """The list lengths K, each once and ascending.

    Raises:
        UsageError: there is none, or one is not positive.
    """
    values = tuple(sorted({int(k) for k in ks}))
    if not values or values[0] < 1:
        raise UsageError(f"list lengths K must be positive whole numbers, not {', '.join(map(str, values)) or 'none'}")
    return values
