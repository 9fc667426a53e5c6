"""Training steps of the models with features beside their plain versions: Baby's size, 4096-d and 384-d features."""

from collections.abc import Callable
from functools import cache
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import nn

from alignrec.models import Backbone, create_model
from alignrec.runtime import numpy_rng, torch_rng
from alignrec.types import Batch, TrainData
from benchmarks import baby, plain, plain_content
from benchmarks.measure import Row

__all__ = ["MEASURES"]

_TOLERANCE = 1e-4
_STEPS = 4
_GOALS = {"vbpr": 3, "bm3": 3, "freedom": 3, "mgcn": 4, "lattice": 4}
_EPOCH = -(-baby.SPLIT_SIZES["train"] // plain.BATCH)  # steps


def _measure(name: str) -> Callable[[], Row]:
    """An epoch of `name`: its first step, which may build a graph, and as many others as it has, from medians."""

    def measure() -> Row:
        ours = create_model(name, _data(), torch_rng(0, "benchmark"), {"dropout": 0.0} if name == "bm3" else None)
        ours.start_epoch(torch_rng(0, "epoch"))
        theirs = getattr(plain_content, name.upper())(_data(), ours)
        seconds: tuple[list[float], list[float]] = ([], [])
        steps = (_plain_step(theirs), _our_step(ours))
        for number, batch in enumerate(_batches()):
            losses = []
            for side, step in zip(seconds, steps, strict=True):
                began = process_time()
                losses.append(step(batch))
                side.append(process_time() - began)
            if number == 0 and abs(losses[0] - losses[1]) > _TOLERANCE * abs(losses[0]):
                raise AssertionError(f"the plain version's loss is {losses[0]}, ours {losses[1]}: no comparison")
        plain_s, ours_s = (_of_epoch(side, rebuilds=name == "lattice") for side in seconds)
        return Row(f"{name.upper()} epoch, without sampling", plain_s, ours_s, _GOALS[name])

    return measure


def _of_epoch(seconds: list[float], *, rebuilds: bool) -> float:
    typical = median(seconds[1:])
    return (seconds[0] if rebuilds else typical) + (_EPOCH - 1) * typical


def _plain_step(model: nn.Module) -> Callable[[Batch], float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(batch: Batch) -> float:
        optimizer.zero_grad()
        loss = model.loss(batch.users, batch.positives, batch.negatives)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def _our_step(model: Backbone[Any]) -> Callable[[Batch], float]:  # Any: settings of any model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(batch: Batch) -> float:
        optimizer.zero_grad()
        terms = model.losses(*model.represent_batch(batch))
        loss = torch.stack(list(terms.values())).sum()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def _batches() -> list[Batch]:
    sampler = plain.Sampler(baby.interactions()["train"])
    return [Batch(*(torch.tensor(part) for part in batch)) for batch in sampler.epoch()[: _STEPS + 1]]


@cache
def _data() -> TrainData:
    rng = numpy_rng(0, "baby", "modalities")
    image = np.maximum(rng.standard_normal((baby.N_ITEMS, 4096), dtype=np.float32), 0)
    text = rng.standard_normal((baby.N_ITEMS, 384), dtype=np.float32)
    return TrainData(baby.interactions()["train"], {"image": image, "text": text})


MEASURES = {f"{name}_epoch": _measure(name) for name in _GOALS}
