"""Training a recommender: what it adds to the loop are sampled triples, Adam, and validation on embeddings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field

from alignrec.data.sampling import EpochSampler
from alignrec.models import trained_tables
from alignrec.runtime import numpy_rng, torch_rng
from alignrec.training.journal import RunFiles
from alignrec.training.loop import FitResult, Job, LoopSettings, run_loop
from alignrec.training.objective import Objective
from alignrec.training.row_adam import RowAdam
from alignrec.training.schedule import exponential
from alignrec.types import Batch, Embeddings, TrainData

__all__ = ["Observer", "TrainingSettings", "TripleSource", "embed", "fit", "make_optimizer"]

Observer = Callable[[Mapping[str, Any], Objective], None]  # from an epoch's line in metrics.jsonl and what is trained


class TrainingSettings(LoopSettings):
    """Settings of a recommender's training."""

    batch_size: int = Field(default=2048, ge=1)
    """Training interactions in a step; each brings one negative."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of Adam."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty inside Adam."""
    lr_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor on the learning rate every `lr_decay_epochs` epochs, applied smoothly."""
    lr_decay_epochs: float = Field(default=50.0, gt=0)
    """See `lr_decay`."""


class TripleSource:
    """Batches of (user, positive, negative) triples; epoch e is drawn from (seed, e)."""

    def __init__(self, data: TrainData, batch_size: int, seed: int, device: torch.device) -> None:
        self._sampler = EpochSampler(data.interactions)
        self._batch_size, self._seed, self._device = batch_size, seed, device

    def steps(self) -> int:
        """Batches in an epoch; the last one may be short."""
        return -(-len(self._sampler) // self._batch_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of epoch number `epoch`."""
        drawn = self._sampler.epoch(numpy_rng(self._seed, "triples", epoch))
        users, positives, negatives = (torch.from_numpy(part).to(self._device) for part in drawn)
        for start in range(0, len(users), self._batch_size):
            rows = slice(start, start + self._batch_size)
            yield Batch(users[rows], positives[rows], negatives[rows])


def make_optimizer(objective: Objective, settings: TrainingSettings, device: torch.device) -> torch.optim.Optimizer:
    """Adam for what `objective` trains on `device`, where it is already.

    On the CPU the gradients of trained feature tables are then kept as factors (`RowAdam`).
    """
    trained = [p for p in objective.parameters() if p.requires_grad]
    if device.type != "cpu" or settings.gradient_clip is not None:  # the norm needs all gradients as they are
        return torch.optim.Adam(trained, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    return RowAdam(trained, trained_tables(objective), lr=settings.lr, weight_decay=settings.weight_decay)


def fit(  # noqa: PLR0913  (what is trained, on what, how, and where it is written)
    objective: Objective,
    data: TrainData,
    settings: TrainingSettings,
    validate: Callable[[Embeddings], Mapping[str, float]],
    *,
    seed: int,
    device: torch.device | None = None,
    files: RunFiles | None = None,
    label: str = "training",
    observers: Sequence[Observer] = (),
) -> FitResult:
    """Train `objective` on `data`; afterwards it holds the weights of the epoch that validated best (see `keep`).

    Args:
        objective: backbone and plug-ins; moved to `device`.
        data: training interactions; no other split is reachable from it.
        settings: see `TrainingSettings`.
        validate: metrics of the given embeddings; must contain `settings.metric`.
        seed: decides the triples of every epoch, dropout, and what `start_epoch` draws.
        device: where to train, the CPU by default.
        files: where to log and checkpoint, and to go on from.
        label: shown beside the progress bar.
        observers: called after every epoch, when its line is written; they must not change what is trained.

    Raises:
        TrainingError: nothing to train on, or a loss that is not finite.
    """
    device = device or torch.device("cpu")
    objective.to(device)

    def after_epoch(line: Mapping[str, Any]) -> None:
        for observe in observers:
            observe(line, objective)

    job = Job(
        objective,
        TripleSource(data, settings.batch_size, seed, device),
        make_optimizer(objective, settings, device),
        exponential(settings.lr_decay, settings.lr_decay_epochs),
        validate=lambda _epoch: validate(embed(objective)),
        start_epoch=lambda epoch: objective.backbone.start_epoch(torch_rng(seed, "model", epoch)),
        unit="interactions",
        after_epoch=after_epoch,
    )
    return run_loop(job, settings, seed=seed, files=files, label=label)


def embed(objective: Objective) -> Embeddings:
    """What the present weights score with, in evaluation mode and without gradients."""
    objective.eval()
    with torch.no_grad():
        return objective.backbone.represent().final.detach()
