"""Where to look next: the point of the next trial from all trials so far, for a grid, at random, or by TPE.

A proposal depends on the seed, the trial's number and the history alone, so that a search goes on after a kill as if it
had never stopped. No point is proposed twice. TPE is the tree-structured Parzen estimator (Bergstra et al., 2011).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from alignrec.runtime import derive_seed, numpy_rng
from alignrec.studies.tuning.space import Choices, Parameters, Range, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

__all__ = ["Proposals", "SamplerName", "decode", "distributions", "encode"]

SamplerName = Literal["grid", "random", "tpe"]
_ATTEMPTS = 50
_DIGITS = 4
_SEEDS = 2**32  # of a sampler


@dataclass(frozen=True)
class Proposals:
    """How points are chosen."""

    space: Space
    sampler: SamplerName
    seed: int

    def next(self, trials: Sequence["FrozenTrial"]) -> dict[str, Any] | None:
        """The point of trial number `len(trials)`; None where all points of the space have been taken."""
        taken = {_key(decode(trial.params)) for trial in trials}
        if self.sampler == "grid":
            return next((point for point in self.space.grid() if _key(point) not in taken), None)
        for point in self._drawn(trials):
            if _key(point) not in taken and self.space.misfit(point) is None:
                return point
        if self.space.size is None:
            return None
        left = [point for point in self.space.grid() if _key(point) not in taken]
        return left[numpy_rng(self.seed, "left", len(trials)).integers(len(left))] if left else None

    def _drawn(self, trials: Sequence["FrozenTrial"]) -> Iterator[dict[str, Any]]:
        import optuna  # an extra

        known = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
        for attempt in range(_ATTEMPTS):
            study = optuna.create_study(direction="maximize", sampler=self._sampler(len(trials), attempt))
            if self.sampler == "tpe":
                study.add_trials(known)
            point = decode(study.ask(distributions(self.space)).params)
            yield {name: _rounded(value, self.space.axes[name]) for name, value in point.items()}

    def _sampler(self, number: int, attempt: int) -> "BaseSampler":
        from optuna.samplers import RandomSampler, TPESampler  # an extra

        seed = derive_seed(self.seed, "trial", number, attempt) % _SEEDS
        return TPESampler(seed=seed) if self.sampler == "tpe" else RandomSampler(seed=seed)


def distributions(space: Space) -> dict[str, "BaseDistribution"]:
    """The axes as Optuna stores them; a value of a list by its JSON text, which can be any value."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # an extra

    found: dict[str, BaseDistribution] = {}
    for name, axis in space.axes.items():
        if isinstance(axis, Choices):
            found[name] = CategoricalDistribution([json.dumps(value) for value in axis.values])
        elif axis.whole:
            found[name] = IntDistribution(int(axis.low), int(axis.high), log=axis.log)
        else:
            found[name] = FloatDistribution(axis.low, axis.high, log=axis.log)
    return found


def encode(space: Space, parameters: Parameters) -> dict[str, Any]:
    """A point as Optuna stores it."""
    return {
        name: json.dumps(value) if isinstance(space.axes[name], Choices) else value
        for name, value in parameters.items()
    }


def decode(stored: Parameters) -> dict[str, Any]:
    """The point that was stored."""
    return {name: json.loads(value) if isinstance(value, str) else value for name, value in stored.items()}


def _rounded(value: Any, axis: Choices | Range) -> Any:
    """A number of a range with few digits, so that a person can read and type it."""
    if isinstance(axis, Choices) or axis.whole:
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), axis.low), axis.high)


def _key(parameters: Parameters) -> str:
    return json.dumps(dict(parameters), sort_keys=True)
