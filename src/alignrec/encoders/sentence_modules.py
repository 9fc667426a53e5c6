"""Reads how a sentence-transformers folder goes from a transformer's states to a sentence's vector.

`modules.json` lists the steps: the transformer, pooling, perhaps dense layers, perhaps scaling to length 1. Source:
Reimers and Gurevych, "Sentence-BERT", EMNLP 2019, and the files that their library writes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import normalize

from alignrec.artifacts import read_json
from alignrec.encoders.checkpoint_files import read_checkpoint
from alignrec.errors import ArtifactError

__all__ = ["SentenceModules", "UnitLength", "read_sentence_modules", "transformer_folder"]

_FIRST = ("Transformer", "CLIPModel")
_ALLOWED = (*_FIRST, "Pooling", "Dense", "Normalize")
_POOLINGS = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max"}  # name in the file -> ours
_ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "Identity": nn.Identity,
    "Tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
}


class UnitLength(nn.Module):
    """Rows (N, d) scaled to length 1."""

    def forward(self, rows: Tensor) -> Tensor:
        """Scale."""
        return normalize(rows, dim=1)


@dataclass(frozen=True, eq=False)
class SentenceModules:
    """What comes with a transformer that was trained to describe sentences; a plain transformer has the defaults."""

    folder: Path  # of the transformer
    pooling: str | None = None  # "mean", "cls" or "max" of the states; None: not said
    head: nn.Module = field(default_factory=nn.Identity)  # what follows pooling, (N, d) -> (N, d')
    max_length: int | None = None  # in tokens
    lower_case: bool = False
    prompt: str = ""  # put before every text


def transformer_folder(folder: Path) -> Path:
    """Where in `folder` the transformer lies: the folder itself, or one in it that `modules.json` names first.

    Raises:
        ArtifactError: `modules.json` is damaged, or names a step that is not among those known here.
    """
    steps = _steps(folder)
    return steps[0][1] if steps else folder


def read_sentence_modules(folder: Path) -> SentenceModules:
    """The steps that `folder` names; the defaults where it has no `modules.json`.

    Raises:
        ArtifactError: a file is damaged, or a step is not among those known here.
    """
    steps = _steps(folder)
    if not steps:
        return SentenceModules(folder)
    (_, transformer), *rest = steps
    pooling, head, prompt = None, nn.Sequential(), _prompt(folder)
    for kind, place in rest:
        if kind == "Pooling":
            pooling = _pooling(place, prompt)
        else:
            head.append(UnitLength() if kind == "Normalize" else _dense(place))
    about: dict[str, Any] = {}  # JSON values
    for file in sorted(transformer.glob("sentence_*_config.json")):
        about = read_json(file)
    length, lower = about.get("max_seq_length"), bool(about.get("do_lower_case"))
    return SentenceModules(transformer, pooling, head, length, lower, prompt)


def _steps(folder: Path) -> list[tuple[str, Path]]:
    """Kind and folder of each step."""
    file = folder / "modules.json"
    if not file.is_file():
        return []
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
        steps = [(str(step["type"]).rpartition(".")[2], folder / step["path"]) for step in listed]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{file} is not a list of modules ({error}); fetch or make the folder anew") from None
    kinds = [kind for kind, _ in steps]
    unknown = [kind for kind in kinds if kind not in _ALLOWED]
    if unknown or not kinds or kinds[0] not in _FIRST or any(kind in _FIRST for kind in kinds[1:]):
        raise ArtifactError(
            f"{file} names the modules {', '.join(kinds) or 'none'}; only one of {' or '.join(_FIRST)} followed by "
            f"{', '.join(_ALLOWED[2:])} can be read"
        )
    return steps


def _pooling(folder: Path, prompt: str) -> str:
    file = folder / "config.json"
    about = read_json(file)
    named = [
        name.removeprefix("pooling_mode_") for name, on in about.items() if name.startswith("pooling_mode_") and on
    ]
    modes = [_POOLINGS.get(name, name) for name in named] or [str(about.get("pooling_mode"))]
    if len(modes) != 1 or modes[0] not in _POOLINGS.values():
        raise ArtifactError(f"{file} pools by {', '.join(modes)}; allowed is one of {', '.join(_POOLINGS.values())}")
    if prompt and not about.get("include_prompt", True):
        raise ArtifactError(f"{file} leaves the prompt out of pooling, which cannot be done here; choose another model")
    return modes[0]


def _dense(folder: Path) -> nn.Module:
    about = read_json(folder / "config.json")
    activation = str(about.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise ArtifactError(f"{folder} ends in {activation}; allowed activations: {', '.join(_ACTIVATIONS)}")
    file = folder / "model.safetensors"
    weights = read_checkpoint(file if file.is_file() else folder / "pytorch_model.bin")
    matrix, bias = weights.get("linear.weight"), weights.get("linear.bias")
    if matrix is None or matrix.ndim != 2:
        raise ArtifactError(f"{folder} holds no matrix linear.weight; fetch or make the folder anew")
    layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=bias is not None, device="meta")  # no random weights
    layer.weight = nn.Parameter(matrix.float(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.float(), requires_grad=False)
    return nn.Sequential(layer, _ACTIVATIONS[activation]())


def _prompt(folder: Path) -> str:
    file = folder / "config_sentence_transformers.json"
    about = read_json(file) if file.is_file() else {}
    return str((about.get("prompts") or {}).get(about.get("default_prompt_name")) or "")
