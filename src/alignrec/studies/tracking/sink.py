"""What a tracker of experiments is to a run: something that is begun, told of epochs in their order, and ended."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from alignrec.errors import AlignrecError, MissingExtraError
from alignrec.settings import by_full_name
from alignrec.studies.run_folder import Run, RunPlan

__all__ = ["Outcome", "Sink", "TrackedRun", "TrackingError", "epoch_values", "missing_extra", "series_name"]


class TrackingError(AlignrecError):
    """A tracker cannot be reached or does not take what it is told."""


@dataclass(frozen=True)
class TrackedRun:
    """What a sink knows of a run before its first epoch."""

    folder: Path
    parameters: Mapping[str, Any]  # Any: JSON values; the resolved plan, flat: "training.lr" -> 0.001

    @classmethod
    def of(cls, run: Run) -> "TrackedRun":
        """The run in a folder."""
        return cls(run.path, dict(_flat(run.plan)))

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.resolve().name

    def texts(self) -> dict[str, str]:
        """The parameters as `--set` would read them."""
        return {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in self.parameters.items()
        }


@dataclass(frozen=True)
class Outcome:
    """How a run ended, for now or for good."""

    status: str  # "finished", "interrupted" (it can go on) or "failed"
    best_epoch: int = 0
    best: Mapping[str, float] = field(default_factory=dict)  # "best/recall_at_20" -> value; of finished runs
    how: str = ""  # "patience" or "epochs"; of finished runs


class Sink(Protocol):
    """One tracker. Importing it and checking its place is done when it is made, before anything is trained."""

    counts: bool
    """Whether `last_epoch` can be asked of the tracker itself."""

    @property
    def place(self) -> str:
        """Where it writes, as it may be kept in a file: without passwords."""

    def begin(self, run: TrackedRun, kept: Mapping[str, str] | None) -> Mapping[str, str]:
        """Open the run, or with `kept` go on with it; returns what to keep to find it again."""

    def last_epoch(self) -> int:
        """The last epoch the tracker has, 0 if none."""

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Tell all values of one epoch."""

    def end(self, outcome: Outcome) -> None:
        """Say how it ended and let go; saying the same end again changes nothing."""


def missing_extra(name: str, package: str) -> MissingExtraError:
    """The error of a tracker that is not installed."""
    return MissingExtraError(
        f"tracking with {name} needs the package {package}, which is not installed; run: pip install 'alignrec[{name}]'"
    )


def series_name(name: str) -> str:
    """A metric's name that every tracker takes: `recall@20` is `recall_at_20`, as MLflow allows no `@`."""
    return re.sub(r"[^\w\-. /]", "_", name.replace("@", "_at_"))


def epoch_values(line: Mapping[str, Any]) -> dict[str, float]:  # Any: a line of metrics.jsonl
    """The points of one epoch: `lr`, `loss/TERM` and, when it was validated, `valid/METRIC`."""
    named = {"lr": line.get("lr")}
    for group in ("loss", "valid"):
        named |= {f"{group}/{name}": value for name, value in line.get(group, {}).items()}
    return {
        series_name(key): float(value) for key, value in named.items() if value is not None and math.isfinite(value)
    }


def _flat(plan: RunPlan) -> Iterator[tuple[str, Any]]:
    yield "model", plan.model
    for name in ("name", "hash"):
        yield f"dataset.{name}", plan.dataset[name]
    # names of features are free, names of parameters are not
    yield "features", ", ".join(plan.features)
    yield "features.hash", ", ".join(plan.features.values())
    yield from by_full_name(plan.settings).items()
    for name in ("seed", "device", "threads"):
        yield name, getattr(plan, name)
    for package, number in plan.versions.items():
        yield f"versions.{package}", number
