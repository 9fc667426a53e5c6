"""A checkpoint is one safetensors file, written atomically: weights, optimiser, best weights, progress.

It is taken at the end of an epoch. What an epoch draws is a function of (seed, epoch), so no generator state is
kept: a run that continues from any checkpoint ends with the same bytes as one that was never stopped.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from alignrec.artifacts import replacement
from alignrec.errors import ArtifactError

__all__ = ["Checkpoint", "capture_optimizer", "load_checkpoint", "restore_optimizer", "save_checkpoint"]

_NUMBERS = ("epoch", "best", "best_epoch", "waited")


@dataclass(frozen=True)
class Checkpoint:
    """Everything the loop needs to go on after `epoch`."""

    epoch: int  # epochs done
    best: float  # best validation value, -inf before the first validation
    best_epoch: int
    waited: int  # validations since
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]  # "0/exp_avg" -> state of the first parameter
    best_weights: Mapping[str, Tensor]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to the file `path`, straight from where its tensors are: beside a run nothing large is made.

    Raises:
        ArtifactError: the disk is full.
    """
    tensors: dict[str, Tensor] = {}
    places = set()
    for group in ("weights", "optimizer", "best_weights"):
        for name, tensor in getattr(checkpoint, group).items():
            own = tensor.detach().cpu()
            if own.untyped_storage().data_ptr() in places or not own.is_contiguous():  # which safetensors refuses
                own = own.clone(memory_format=torch.contiguous_format)
            places.add(own.untyped_storage().data_ptr())
            tensors[f"{group}/{name}"] = own
    state = {name: getattr(checkpoint, name) for name in _NUMBERS}
    with replacement(path) as temporary:
        save_file(tensors, temporary, metadata={"state": json.dumps(state)})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read the checkpoint at `path`.

    Raises:
        ArtifactError: the file is not a checkpoint.
    """
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "optimizer": {}, "best_weights": {}}
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            for key in file.keys():  # noqa: SIM118  (not a dict)
                group, _, name = key.partition("/")
                groups[group][name] = file.get_tensor(key)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ArtifactError(f"{path} is not a usable checkpoint ({error}); start the run anew") from None
    if set(state) != set(_NUMBERS):
        raise ArtifactError(f"{path} is a checkpoint of another version; start the run anew")
    return Checkpoint(
        **state, weights=groups["weights"], optimizer=groups["optimizer"], best_weights=groups["best_weights"]
    )


def capture_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors by parameter position and name."""
    state = optimizer.state_dict()["state"]
    return {f"{index}/{name}": value for index, slots in state.items() for name, value in slots.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], model: nn.Module) -> None:
    """Put back what `capture_optimizer` took.

    Raises:
        ArtifactError: it is of a model with more parameters.
    """
    full = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = value
    if len(state) > len([p for p in model.parameters() if p.requires_grad]):
        raise ArtifactError("the checkpoint has more parameters than the model; it is of another model, start anew")
    full["state"] = state
    optimizer.load_state_dict(full)
