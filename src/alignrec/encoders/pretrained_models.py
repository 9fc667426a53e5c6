"""The Hugging Face models that describe items: which kinds they are of, and how they are read from a folder.

A model of *two towers* maps pictures and texts into one space; an *image* or *text* model knows one modality. Numbers
are read from safetensors, or by `torch.load` with `weights_only`, in single precision; code that lies beside them is
never run. Needs the extra `pretrained`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError

from alignrec.artifacts import read_json
from alignrec.encoders.pretrained_files import quietly
from alignrec.errors import ArtifactError, UsageError

__all__ = ["MODEL_TYPES", "PretrainedModel", "load_model", "modality_of", "model_type_of"]

MODEL_TYPES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "image+text": ("align", "altclip", "chinese_clip", "clip", "metaclip_2", "siglip", "siglip2"),
        "image": (
            *("beit", "clip_vision_model", "convnext", "convnextv2", "data2vec-vision", "deit", "dinov2"),
            *("dinov2_with_registers", "dinov3_vit", "efficientnet", "levit", "mobilenet_v1", "mobilenet_v2"),
            *("mobilevit", "poolformer", "regnet", "resnet", "siglip_vision_model", "swin", "swinv2", "vit"),
            *("vit_mae", "vit_msn"),
        ),
        "text": (
            *("albert", "bert", "big_bird", "camembert", "data2vec-text", "deberta", "deberta-v2"),
            *("distilbert", "electra", "ernie", "ibert", "longformer", "megatron-bert", "mobilebert", "modernbert"),
            *("mpnet", "mt5", "nomic_bert", "rembert", "roberta", "roberta-prelayernorm", "roformer", "squeezebert"),
            *("t5", "umt5", "xlm-roberta", "xlm-roberta-xl"),
        ),
    }
)
"""Modality -> values of `model_type` in a model's config.json."""

_WITH_DECODER = ("t5", "mt5", "umt5")  # of these the encoder alone is read
_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, EOFError, ImportError, SafetensorError, UnpicklingError)


@dataclass(frozen=True, eq=False)
class PretrainedModel:
    """A network ready to describe, in evaluation mode."""

    module: Any  # the network, and its settings: objects of transformers, whose classes are not typed
    config: Any
    model_type: str
    folder: Path
    has_pooler: bool  # whether the file holds all that the network's own pooling needs

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        device: torch.device = self.module.device
        return device


def model_type_of(folder: Path) -> str:
    """The kind of the model in `folder`, as its config.json says.

    Raises:
        ArtifactError: the folder is none of a model.
        UsageError: a kind that gives no item vectors here.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise ArtifactError(f"{folder} is not the folder of a Hugging Face model, it has no config.json; give another")
    kind = read_json(file).get("model_type")
    if kind is None:
        raise ArtifactError(f"{file} does not say its model_type; fetch or make the folder anew")
    if not any(kind in kinds for kinds in MODEL_TYPES.values()):
        allowed = "; ".join(f"{modality}: {', '.join(kinds)}" for modality, kinds in MODEL_TYPES.items())
        raise UsageError(f"a model of the kind {kind!r} gives no vectors of items; allowed are {allowed}")
    return str(kind)


def modality_of(model_type: str) -> str:
    """What a model of this kind describes: "image", "text" or "image+text"."""
    return next(modality for modality, kinds in MODEL_TYPES.items() if model_type in kinds)


def load_model(folder: Path, device: torch.device) -> PretrainedModel:
    """Read the network in `folder` onto `device`.

    Raises:
        ArtifactError: it cannot be read, or weights are lacking without which its states would be random.
        UsageError: it is of a kind that gives no item vectors here.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding  # of an extra

    kind = model_type_of(folder)
    reader = AutoModelForTextEncoding if kind in _WITH_DECODER else AutoModel
    try:
        with quietly():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            if kind == "vit_mae":
                config.mask_ratio = 0.0  # show it every patch, not a random quarter
            module, report = reader.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                weights_only=True,
                output_loading_info=True,
            )
    except _DAMAGE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise ArtifactError(f"cannot read the model in {folder} ({reason}); fetch or make the folder anew") from None
    absent = sorted(report["missing_keys"])
    needed = [name for name in absent if not name.startswith("pooler.")]
    if needed:
        raise ArtifactError(
            f"the weights in {folder} lack {len(needed)} tensors of a {kind!r} model, first {needed[0]!r}; "
            "fetch or make the folder anew"
        )
    return PretrainedModel(module.to(device).eval(), config, kind, folder, has_pooler=not absent)
