"""What models cost: trainable parameters, time to rank all items for all users, time of a training epoch.

AlignRec (CIKM 2024), Table 9, has the first two. Everything is measured in one process and in turns, so that what else
the machine does meets all models alike. A training epoch is a few steps scaled up: its beginning (graphs that are
pruned, triples that are drawn) in full, then as many steps as it has at the pace of those that were timed. The times of
an epoch are CPU time, those of inference are on the clock.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from alignrec.data import Dataset
from alignrec.errors import UsageError
from alignrec.models import create_model, model_class
from alignrec.ranking import top_k
from alignrec.runtime import derive_seed, flush_denormals, keep_large_buffers, set_threads, torch_rng
from alignrec.studies.run_planning import Sections
from alignrec.studies.text_grid import TextGrid
from alignrec.training import Objective, TrainingSettings, embed
from alignrec.training.recommender import TripleSource, make_optimizer
from alignrec.types import Batch, TrainData

__all__ = ["REFERENCE", "CostTable", "ModelCost", "measure_costs"]

REFERENCE = "lightgcn"  # what the others are a multiple of
_CUTOFF = 20
_WARM_UP = 2  # steps


@dataclass(frozen=True)
class ModelCost:
    """One model; times are medians over repeats, in seconds."""

    model: str
    parameters: int  # trained ones
    inference_seconds: float  # representations and the best 20 items of all users
    epoch_seconds: float  # CPU time
    epoch_ratio: float  # to LightGCN's
    inference_ratio: float


@dataclass(frozen=True)
class CostTable:
    """All models, measured side by side."""

    dataset: str
    users: int
    items: int
    features: Mapping[str, int]  # table -> columns
    steps: int  # timed in each repeat
    repeats: int
    costs: tuple[ModelCost, ...]

    def cost(self, model: str) -> ModelCost:
        """What `model` costs.

        Raises:
            UsageError: it was not measured.
        """
        found = next((cost for cost in self.costs if cost.model == model), None)
        if found is None:
            raise UsageError(f"{model!r} was not measured; there are: {', '.join(cost.model for cost in self.costs)}")
        return found

    def grid(self) -> TextGrid:
        """The printed form."""
        rows = tuple(
            (
                cost.model,
                f"{cost.parameters / 1e6:,.2f} M" if cost.parameters >= 1e5 else f"{cost.parameters:,}",
                f"{cost.inference_seconds:.3f}",
                f"{cost.inference_ratio:.2f} ×",
                f"{cost.epoch_seconds:.3f}",
                f"{cost.epoch_ratio:.2f} ×",
            )
            for cost in self.costs
        )
        tables = " + ".join(f"{name} ({size})" for name, size in self.features.items()) or "none"
        notes = (
            f"{self.users:,} users, {self.items:,} items; features: {tables}",
            f"inference: the best {_CUTOFF} of all items for all users, median of {self.repeats}, one thread",
            f"epoch: CPU time, scaled up from {self.steps} steps, median of {self.repeats}; × relative to {REFERENCE}",
        )
        head = ("model", "parameters", "inference s", "relative", "epoch s", "relative")
        return TextGrid(f"Cost of training and ranking, {self.dataset}", head, rows, notes)

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """Everything as a JSON object."""
        about: dict[str, Any] = {"dataset": self.dataset, "users": self.users, "items": self.items}
        about |= {"features": dict(self.features), "steps": self.steps, "repeats": self.repeats}
        return {**about, "models": [asdict(cost) for cost in self.costs]}


def measure_costs(
    dataset: Dataset,
    models: Sequence[str],
    *,
    features: Sequence[str] | Mapping[str, Sequence[str]] = (),
    settings: Mapping[str, Sections] | None = None,
    steps: int = 10,
    repeats: int = 3,
    seed: int = 0,
) -> CostTable:
    """Measure `models`, and LightGCN by their side.

    Args:
        dataset: what they are trained on and rank.
        models: their names.
        features: feature tables for those that need some, or model -> its tables.
        settings: model -> sections of settings, as `train` takes them.
        steps: training steps that are timed in each repeat.
        repeats: of which medians are taken.
        seed: of the parameters and of what is drawn.

    Raises:
        UsageError: no step or repeat.
        SettingsError: an unknown model or setting, or a model whose features are not given.
    """
    if steps < 1 or repeats < 1:
        raise UsageError(f"steps is {steps} and repeats is {repeats}; give 1 or more of each")
    set_threads(1)
    keep_large_buffers()
    names = list(dict.fromkeys([REFERENCE, *(name.lower() for name in models)]))
    tables = features if isinstance(features, Mapping) else dict.fromkeys(names, features)
    views: dict[tuple[str, ...], TrainData] = {}  # one for models with the same tables
    measured = []
    for name in names:
        used = tuple(tables.get(name, ())) if model_class(name).needs_features else ()
        if used not in views:
            views[used] = dataset.train_view(list(used))
        measured.append(_Measured(name, views[used], (settings or {}).get(name, {}), seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "cost"))  # dropout
        for each in measured:
            each.warm_up()
        for _ in range(repeats):
            for each in measured:
                each.measure(steps)
    first = measured[0]
    costs = tuple(each.cost(first) for each in measured)
    sizes = {name: int(matrix.shape[1]) for view in views.values() for name, matrix in view.features.items()}
    return CostTable(dataset.name, dataset.n_users, dataset.n_items, sizes, steps, repeats, costs)


@dataclass
class _Times:
    """Seconds of every repeat."""

    inference: list[float] = field(default_factory=list)
    epoch: list[float] = field(default_factory=list)


class _Measured:
    """One model in training, of which any number of steps can be made at any time."""

    def __init__(self, name: str, view: TrainData, settings: Sections, seed: int) -> None:
        cls = model_class(name)
        training = TrainingSettings.create({**cls.training_defaults, **settings.get("training", {})})
        self.name, self._view, self._seed, self._times = name, view, seed, _Times()
        self._objective = Objective(create_model(name, view, torch_rng(seed, "init"), settings.get("model")))
        cpu = torch.device("cpu")
        self._optimizer = make_optimizer(self._objective, training, cpu)
        self._source = TripleSource(view, training.batch_size, seed, cpu)
        self._epoch = 0
        self._batches = self._endless()

    def _endless(self) -> Iterator[Batch]:
        while True:
            self._epoch += 1
            yield from self._source.epoch(self._epoch)

    def warm_up(self) -> None:
        """The first of everything, which is slower."""
        self._begin()
        self._step(_WARM_UP)
        self._rank()

    def _step(self, steps: int) -> None:
        self._objective.train()
        with flush_denormals():
            for _ in range(steps):
                batch = next(self._batches)
                self._optimizer.zero_grad(set_to_none=True)
                torch.stack(list(self._objective(batch).values())).sum().backward()  # type: ignore[no-untyped-call]
                self._optimizer.step()

    def _begin(self) -> None:
        self._objective.backbone.start_epoch(torch_rng(self._seed, "model", 1))
        next(iter(self._source.epoch(1)))  # draws the triples of the whole epoch

    def measure(self, steps: int) -> None:
        """One repeat: the beginning of an epoch, some of its steps, one ranking."""
        begin = _seconds(time.process_time, self._begin)
        stepping = _seconds(time.process_time, lambda: self._step(steps))
        self._times.epoch.append(begin + stepping / steps * self._source.steps())
        self._times.inference.append(_seconds(time.perf_counter, self._rank))

    def _rank(self) -> None:
        found = embed(self._objective)
        top_k(found.users, found.items, min(_CUTOFF, len(found.items)), exclude=self._view.interactions)

    def cost(self, reference: "_Measured") -> ModelCost:
        """What was measured, beside the reference."""
        mine, theirs = self._times, reference._times
        return ModelCost(
            model=self.name,
            parameters=sum(weight.numel() for weight in self._objective.parameters() if weight.requires_grad),
            inference_seconds=statistics.median(mine.inference),
            epoch_seconds=statistics.median(mine.epoch),
            epoch_ratio=_median_ratio(mine.epoch, theirs.epoch),
            inference_ratio=_median_ratio(mine.inference, theirs.inference),
        )


def _median_ratio(times: Sequence[float], reference: Sequence[float]) -> float:
    return statistics.median(times) / max(statistics.median(reference), 1e-9)


def _seconds(clock: Callable[[], float], work: Callable[[], object]) -> float:
    began = clock()
    work()
    return clock() - began
