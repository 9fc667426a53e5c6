"""Training steps of models and plug-ins with features beside their plain versions: Baby's size, 4096-d and 384-d."""

from collections.abc import Callable, Mapping
from functools import cache
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alignrec.models import create_model
from alignrec.runtime import numpy_rng, torch_rng
from alignrec.training import TrainingSettings
from alignrec.training.objective import Objective, attach_plugins
from alignrec.training.recommender import make_optimizer
from alignrec.types import Batch, TrainData
from benchmarks import baby, plain, plain_content
from benchmarks.measure import Row, peak_megabytes, take_turns
from benchmarks.plain_fettle import FETTLE
from benchmarks.plain_lgmrec import LGMREC
from benchmarks.training import sampling

__all__ = ["MEASURES", "sides", "train"]

_TOLERANCE = 1e-4
_WARM_UP, _STEPS = 4, 9  # the first ones also fetch memory, until all large buffers have their places
_GOALS = {"vbpr": 3, "bm3": 3, "freedom": 3, "mgcn": 4, "lattice": 4, "lgmrec": 4, "fettle": 2}
_SETTINGS = {"bm3": {"dropout": 0.0}, "lgmrec": {"gumbel_noise": False, "hyperedge_dropout": 0.0}}  # nothing random
_PLAIN = {name: getattr(plain_content, name.upper()) for name in ("vbpr", "bm3", "freedom", "mgcn", "lattice")}
_PLAIN |= {"lgmrec": LGMREC, "fettle": FETTLE}
_NAMES = {"lgmrec": "LGMRec", "fettle": "LightGCN + FETTLE"}
_EPOCH = -(-baby.SPLIT_SIZES["train"] // plain.BATCH)  # steps


def sides(name: str, data: TrainData, settings: Mapping[str, Any] | None = None) -> tuple[Objective, nn.Module]:
    """Ours and the plain version of a model, or of a plug-in on LightGCN, with the same initial parameters.

    `settings` are of the model or plug-in; by default those with which nothing is random.
    """
    settings = _SETTINGS.get(name) if settings is None else settings
    ours = _ours(name, data, settings)
    return ours, _PLAIN[name](data, ours if name == "fettle" else ours.backbone)


def _ours(name: str, data: TrainData, settings: Mapping[str, Any] | None) -> Objective:
    is_plugin = name == "fettle"
    host = create_model(
        "lightgcn" if is_plugin else name, data, torch_rng(0, "benchmark"), None if is_plugin else settings
    )
    host.start_epoch(torch_rng(0, "epoch"))
    return attach_plugins(host, data, {name: settings or {}} if is_plugin else {}, seed=0)


def train(objective: Callable[[Batch], Tensor], optimizer: torch.optim.Optimizer) -> Callable[[Batch], float]:
    """A training step, which gives the loss."""

    def step(batch: Batch) -> float:
        optimizer.zero_grad()
        loss = objective(batch)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def _measure(name: str) -> Callable[[], Row]:
    """An epoch of `name`: sampling, a first step, which may build a graph, and as many others as it has, from medians.

    BM3 draws no negatives, and is measured without sampling.
    """

    def measure() -> Row:
        ours, theirs = sides(name, _data())
        batches = _batches()
        steps = [_through(step, batches) for step in (_plain_step(theirs), _our_step(ours))]
        turns = take_turns(len(batches), (steps[0], False), (steps[1], True))
        losses = [side[0].value for side in turns]
        if abs(losses[0] - losses[1]) > _TOLERANCE * abs(losses[0]):
            raise AssertionError(f"the plain version's loss is {losses[0]}, ours {losses[1]}: no comparison")
        plain_s, ours_s = (_of_epoch([turn.seconds for turn in side], rebuilds=name == "lattice") for side in turns)
        label = f"{_NAMES.get(name, name.upper())} epoch"
        if name == "bm3":
            return Row(label, plain_s, ours_s, _GOALS[name])
        drawn = sampling()
        return Row(label, plain_s + drawn.plain, ours_s + drawn.ours, _GOALS[name])

    return measure


def _through(step: Callable[[Batch], float], batches: list[Batch]) -> Callable[[], float]:
    """The step with one batch after the other."""
    left = iter(batches)
    return lambda: step(next(left))


def freedom_memory() -> Row:
    """What building FREEDOM and training it for three steps adds to the peak memory of a process with the data."""
    setup = (
        "from benchmarks import content_models as models, plain_content\n"
        "data, batches = models._data(), models._batches()[:3]\n"
        "# measured from here\n"
        "{made}\nfor batch in batches: step(batch)"
    )
    theirs = setup.format(
        made="ours, theirs = models.sides('freedom', data)\ndel ours\nstep = models._plain_step(theirs)"
    )
    kept = "from alignrec.runtime import keep_large_buffers\nkeep_large_buffers()\n"
    ours = setup.format(made=f"{kept}step = models._our_step(models._ours('freedom', data, None))")
    return Row("FREEDOM training, peak memory added", peak_megabytes(theirs), peak_megabytes(ours), 1, "MB")


def _of_epoch(seconds: list[float], *, rebuilds: bool) -> float:
    typical = median(seconds[_WARM_UP:])
    return (seconds[0] if rebuilds else typical) + (_EPOCH - 1) * typical


def _plain_step(model: nn.Module) -> Callable[[Batch], float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return train(lambda batch: model.loss(batch.users, batch.positives, batch.negatives), optimizer)


def _our_step(objective: Objective) -> Callable[[Batch], float]:
    optimizer = make_optimizer(objective, TrainingSettings(lr=1e-3), torch.device("cpu"))
    return train(lambda batch: torch.stack(list(objective(batch).values())).sum(), optimizer)


def _batches() -> list[Batch]:
    sampler = plain.Sampler(baby.interactions()["train"])
    return [Batch(*(torch.tensor(part) for part in batch)) for batch in sampler.epoch()[: _WARM_UP + _STEPS]]


@cache
def _data() -> TrainData:
    rng = numpy_rng(0, "baby", "modalities")
    image = np.maximum(rng.standard_normal((baby.N_ITEMS, 4096), dtype=np.float32), 0)
    text = rng.standard_normal((baby.N_ITEMS, 384), dtype=np.float32)
    return TrainData(baby.interactions()["train"], {"image": image, "text": text})


MEASURES = {f"{name}_epoch": _measure(name) for name in _GOALS} | {"freedom_memory": freedom_memory}
