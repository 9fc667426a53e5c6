"""Reads the weights of a checkpoint file that others wrote: safetensors, or what `torch.save` writes.

Of the latter only tensors and plain containers are read (`weights_only=True`), so a file cannot run code.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from alignrec.errors import ArtifactError

__all__ = ["read_checkpoint"]

_WRAPPERS = ("model", "module", "state_dict")  # keys under which programs put the weights: DeepSpeed says module
_PREFIX = "module."  # what torch's data-parallel wrappers put before every name
_DAMAGE = (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, SafetensorError)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The named tensors of the file, on the CPU, without wrapping dictionary and `module.` prefixes.

    Raises:
        ArtifactError: the file is absent, damaged, holds other things than numbers, no named tensors, or NaN or
            infinity.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} is not a file; give the path of a checkpoint (.pth, .pt or .safetensors)")
    try:
        content: object = load_file(path) if path.suffix == ".safetensors" else _load(path)
    except UnpicklingError:  # what torch says here is long, and how to run the code all the same
        raise ArtifactError(
            f"{path} is not a readable checkpoint: it holds other things than tensors, which could run code, or is "
            "damaged; save its weights (state_dict) alone, as .safetensors for example, or fetch the file anew"
        ) from None
    except (*_DAMAGE, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise ArtifactError(f"{path} is not a readable checkpoint ({reason}); fetch or make the file anew") from None
    tensors = {_bare(name): value for name, value in _unwrapped(content).items() if isinstance(value, Tensor)}
    if not tensors:
        raise ArtifactError(
            f"{path} holds no named tensors; a checkpoint is a dictionary of them, bare or under one of the keys "
            f"{', '.join(_WRAPPERS)}"
        )
    spoiled = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if spoiled:
        raise ArtifactError(
            f"{path} has NaN or infinity in {len(spoiled)} tensors, such as {spoiled[0]}; fetch or make the file anew"
        )
    return tensors


def _load(path: Path) -> object:
    # official fine-tuned files carry the command line beside the weights
    with torch.serialization.safe_globals([argparse.Namespace]):
        content: object = torch.load(path, map_location="cpu", weights_only=True)
    return content


def _unwrapped(content: object) -> Mapping[str, object]:
    if not isinstance(content, Mapping):
        return {}
    inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), content)
    return {str(name): value for name, value in inner.items()}


def _bare(name: str) -> str:
    while name.startswith(_PREFIX):
        name = name.removeprefix(_PREFIX)
    return name
