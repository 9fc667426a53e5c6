"""The one training loop: epochs of steps, named losses, validation, early stopping, checkpoints.

It knows neither models nor encoders: an objective maps a batch to named loss terms, a source gives the batches
of an epoch, a callable validates. Everything random is derived from (seed, epoch).

Several batches may share a step (`accumulate`). Each counts by its length, so k batches of b items leave the gradient
of one batch of k · b items, up to rounding, wherever a term is a mean over items and an item's loss does not depend on
its company. A mean over something else (hidden words, of which batches have unequal numbers) is weighed slightly
differently; a term that compares the items of a batch (contrastive losses) sees a batch of b; random draws differ.
"""

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from alignrec.errors import TrainingError
from alignrec.progress import Reporter, progress_bar
from alignrec.runtime import derive_seed, flush_denormals
from alignrec.settings import Settings
from alignrec.training.early_stopping import EarlyStopping
from alignrec.training.interrupt import stop_on_interrupt
from alignrec.training.journal import Journal, RunFiles, copy_weights
from alignrec.training.schedule import Schedule

__all__ = ["BatchSource", "FitResult", "Job", "LoopSettings", "run_loop"]

Validate = Callable[[int], Mapping[str, float]]  # from the epoch's number


class LoopSettings(Settings):
    """Settings that every training run has, whatever is trained."""

    epochs: int = Field(default=1000, ge=1)
    """Most epochs to train; early stopping usually ends a run before."""
    patience: int = Field(default=20, ge=0)
    """Validations without improvement that are still waited for."""
    validate_every: int = Field(default=1, ge=1)
    """Epochs between validations."""
    metric: str = "recall@20"
    """The validation metric that selects the best epoch; larger is better."""
    round_valid: int | None = Field(default=None, ge=1)
    """Decimals that its values are rounded to before they are compared; 4 stops as MMRec does. None: not rounded."""
    keep: Literal["best", "last"] = "best"
    """Whether the weights of the best epoch are left, or those of the last."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are averaged for one step, when a larger batch does not fit into memory."""
    gradient_clip: float | None = Field(default=None, gt=0)
    """Largest norm of the gradient over all parameters; longer ones are scaled down to it. None: as they are."""
    checkpoint_seconds: float = Field(default=30.0, ge=0)
    """Least time between two checkpoints on disk; it does not change any result."""


class BatchSource(Protocol):
    """Gives the batches of an epoch; the same epoch number gives the same batches."""

    def steps(self) -> int:
        """Batches in an epoch."""

    def epoch(self, epoch: int) -> Iterable[Any]:  # Any: whatever the objective takes
        """The batches of epoch number `epoch` (1 first); their `len` is the number of items in them."""


@dataclass(frozen=True)
class FitResult:
    """How training ended; the objective then holds the weights that the setting `keep` names."""

    status: str  # "patience", "epochs" or "interrupted"
    epochs: int
    best_epoch: int
    best_value: float
    history: list[dict[str, Any]] = field(default_factory=list)  # Any: the lines of metrics.jsonl


@dataclass(frozen=True)
class Job:
    """What is trained, and how."""

    objective: nn.Module
    """Maps a batch to a dict of named scalar loss terms; their sum is minimised."""
    source: BatchSource
    optimizer: torch.optim.Optimizer
    """Steps the objective's parameters; its learning rates are scaled by `schedule` before every step."""
    schedule: Schedule
    validate: Validate
    """Metrics of the present weights."""
    start_epoch: Callable[[int], None] = lambda _epoch: None
    """Called with the epoch number before its first batch."""
    unit: str = "items"
    """What a batch is made of, in the plural."""
    note: Callable[[Mapping[str, Any]], str | None] = lambda _line: None  # Any: a line of metrics.jsonl
    """What a terminal keeps of an epoch, from its line in the log; None: nothing."""
    after_epoch: Callable[[Mapping[str, Any]], None] = lambda _line: None  # Any: a line of metrics.jsonl
    """Called with an epoch's line in the log once it is written; what it raises ends the run, which can go on later."""


def run_loop(
    job: Job, settings: LoopSettings, *, seed: int, files: RunFiles | None = None, label: str = "training"
) -> FitResult:
    """Train until patience or epochs run out, and leave the weights that `settings.keep` names in the objective.

    Args:
        job: see `Job`.
        settings: see `LoopSettings`.
        seed: dropout and the like draw from (seed, epoch).
        files: where to log and checkpoint; if a checkpoint is there, training goes on from it.
        label: shown beside the progress bar.

    Raises:
        TrainingError: a loss term or the validation metric is not finite, or the metric is missing.
    """
    rates = [float(group["lr"]) for group in job.optimizer.param_groups]
    journal = Journal(files, job.objective, job.optimizer, settings.checkpoint_seconds)
    state = journal.resume(EarlyStopping(settings.patience, settings.round_valid))
    status = "epochs"
    with stop_on_interrupt() as request, progress_bar(label, settings.epochs, state.epoch) as bar:
        display = _Display(bar, job.unit, settings.metric)
        while state.epoch < settings.epochs and not state.stopping.stop:
            state.epoch += 1
            began = time.perf_counter()
            line: dict[str, Any] = {"epoch": state.epoch, "lr": rates[0] * job.schedule(state.epoch - 1)}
            line["loss"] = _train_epoch(job, settings, _Pace(rates, seed, state.epoch, display))
            trained = time.perf_counter()
            if state.epoch % settings.validate_every == 0 or state.epoch == settings.epochs:
                line["valid"] = _validated(job, settings.metric, line)
                if state.stopping.update(line["valid"][settings.metric], state.epoch) and settings.keep == "best":
                    state.best_weights = copy_weights(job.objective)
            state.history.append(line)
            display.epoch_done(line, state.stopping)
            if (kept := job.note(line)) is not None:
                bar.note(kept)
            done = state.stopping.stop or state.epoch == settings.epochs
            journal.write(state, (began, trained), force=done or request.asked)
            job.after_epoch(line)
            if request.asked and not done:
                status = "interrupted"
                break
    if state.stopping.stop:
        status = "patience"
    if state.best_weights and settings.keep == "best":
        job.objective.load_state_dict(state.best_weights)
    return FitResult(status, state.epoch, state.stopping.best_epoch, state.stopping.best, state.history)


@dataclass(frozen=True)
class _Pace:
    """What an epoch needs to know of the run around it."""

    rates: list[float]  # learning rates before the schedule, of each group of parameters
    seed: int
    epoch: int
    display: "_Display"


def _train_epoch(job: Job, settings: LoopSettings, pace: _Pace) -> dict[str, float]:
    """One epoch of steps; the mean of every loss term over the steps."""
    totals: dict[str, Tensor] = {}
    epoch, steps, items, n_steps = pace.epoch, 0, 0, -(-job.source.steps() // settings.accumulate)
    began = time.perf_counter()
    with torch.random.fork_rng(devices=_cuda_devices(job.objective)), flush_denormals():
        torch.manual_seed(derive_seed(pace.seed, "epoch", epoch))
        job.start_epoch(epoch)
        job.objective.train()
        with _stopping(job.source.epoch(epoch)) as batches:
            while group := list(islice(batches, settings.accumulate)):
                factor = job.schedule(epoch - 1 + steps / n_steps)
                for parameters, rate in zip(job.optimizer.param_groups, pace.rates, strict=True):
                    parameters["lr"] = rate * factor
                job.optimizer.zero_grad(set_to_none=True)
                steps += 1
                for name, value in _gradients(job.objective, group, epoch, steps).items():
                    totals[name] = totals[name] + value if name in totals else value
                if settings.gradient_clip is not None:
                    nn.utils.clip_grad_norm_(job.objective.parameters(), settings.gradient_clip)
                job.optimizer.step()
                items += sum(len(batch) for batch in group)
                pace.display.step_done(steps, n_steps, items / (time.perf_counter() - began))
    means = {name: float(total) / max(steps, 1) for name, total in totals.items()}
    return {**means, "total": sum(means.values())}


def _gradients(objective: nn.Module, group: Sequence[Any], epoch: int, step: int) -> dict[str, Tensor]:
    """Leave the gradient of the group's mean loss in the parameters; the terms' values, without a graph."""
    values: dict[str, Tensor] = {}
    items = sum(len(batch) for batch in group)
    for batch in group:
        terms: dict[str, Tensor] = objective(batch)
        parts = torch.stack(list(terms.values()))
        if not bool(torch.isfinite(parts).all()):
            _raise_not_finite(terms, epoch, step)
        if len(group) > 1:
            parts = parts * (len(batch) / items)
        parts.sum().backward()  # type: ignore[no-untyped-call]
        for name, value in zip(terms, parts.detach().double().unbind(), strict=True):
            values[name] = values[name] + value if name in values else value
    return values


@contextmanager
def _stopping(batches: Iterable[Any]) -> Iterator[Iterator[Any]]:
    """The batches; a generator among them ends with the block, and with it whatever it has at work."""
    iterator = iter(batches)
    try:
        yield iterator
    finally:
        if isinstance(iterator, Generator):
            iterator.close()


def _raise_not_finite(terms: Mapping[str, Tensor], epoch: int, step: int) -> None:
    bad = [name for name, term in terms.items() if not math.isfinite(float(term.detach()))]
    raise TrainingError(
        f"loss term {', '.join(bad)} is not finite in epoch {epoch}, step {step}; "
        "lower training.lr or the term's weight"
    )


def _validated(job: Job, metric: str, line: Mapping[str, Any]) -> dict[str, float]:
    epoch = line["epoch"]
    try:
        metrics = job.validate(epoch)
    except TrainingError as error:
        terms = ", ".join(f"{name} {value:.4g}" for name, value in line["loss"].items())
        raise TrainingError(f"validation after epoch {epoch} (losses: {terms}): {error}") from None
    if metric not in metrics:
        raise TrainingError(f"validation gives no {metric!r}; training.metric can be: {', '.join(metrics)}")
    if not math.isfinite(metrics[metric]):
        raise TrainingError(
            f"validation {metric} is {metrics[metric]} in epoch {epoch}; is the validation split empty, or training.lr "
            "too large?"
        )
    return dict(metrics)


class _Display:
    """What stands beside the bar: the present step and speed, losses and validation of the last epoch."""

    def __init__(self, bar: Reporter, unit: str, metric: str) -> None:
        self._bar, self._unit, self._metric, self._last = bar, unit, metric, ""

    def step_done(self, step: int, n_steps: int, speed: float) -> None:
        self._bar.advance(0, text=f"step {step}/{n_steps} {speed:,.0f} {self._unit}/s{self._last}")

    def epoch_done(self, line: Mapping[str, Any], stopping: EarlyStopping) -> None:
        losses = " ".join(f"{name} {value:.4f}" for name, value in line["loss"].items())
        valid = f"{self._metric} {line['valid'][self._metric]:.4f} " if "valid" in line else ""
        self._last = f" | {losses} | {valid}best {stopping.best:.4f} @ {stopping.best_epoch}"
        self._bar.advance(text=self._last.removeprefix(" | "))


def _cuda_devices(objective: nn.Module) -> list[int]:
    device = next(objective.parameters()).device
    return [device.index or 0] if device.type == "cuda" else []
