"""Pictures → vectors by a Hugging Face vision model, a batch decoded while the one before it is computed.

Resizing, cropping and scaling are what the model's own `preprocessor_config.json` says, done by the Pillow processors
of `transformers`. Needs the extra `pretrained`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from alignrec.artifacts import read_json
from alignrec.data import Dataset
from alignrec.encoders.pictures import PictureReport, read_pictures
from alignrec.encoders.prefetch import prefetch
from alignrec.encoders.pretrained_files import quietly
from alignrec.encoders.pretrained_models import PretrainedModel, modality_of
from alignrec.errors import ArtifactError, FeatureError, UsageError
from alignrec.progress import progress_bar
from alignrec.types import FloatMatrix

__all__ = ["PictureEncoder", "describe_pictures"]

_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
# has no Pillow version of its own and does the same: squash, scale, standardise
_STAND_INS = {"DINOv3ViTImageProcessor": "ViTImageProcessorPil", "DINOv3ViTImageProcessorFast": "ViTImageProcessorPil"}


class PictureEncoder:
    """A vision model, or the vision half of a model of two towers, with its processor.

    Args:
        model: the network.
        pooling: `auto`, `cls`, `mean` or `pooler`; a model of two towers has only its own (`auto`).

    Raises:
        ArtifactError: the folder has no image processor, or one that Pillow cannot stand for.
        UsageError: a pooling that the model does not have.
    """

    def __init__(self, model: PretrainedModel, pooling: str = "auto") -> None:
        self.model = model
        self._processor = _load_processor(model)
        self._leading = _leading_tokens(model)
        if modality_of(model.model_type) == "image":
            self.pooling = self._choose(pooling)
        else:
            self.pooling = "shared space"

    def prepare(self, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
        """RGB pictures (B,) as the network reads them."""
        return dict(self._processor(images=list(pictures), return_tensors="pt"))

    @torch.no_grad()
    def encode(self, inputs: dict[str, Tensor]) -> FloatMatrix:
        """Prepared pictures (B,) → vectors (B, d), of length 1 if the model has two towers."""
        placed = {name: value.to(self.model.device) for name, value in inputs.items()}
        if self.pooling == "shared space":
            vectors = normalize(self.model.module.get_image_features(**placed).pooler_output, dim=1)
        else:
            vectors = self._pool(self.model.module(**placed))
        return np.asarray(vectors.float().cpu().numpy())

    def _pool(self, output: Any) -> Tensor:  # transformers' output
        if self.pooling == "pooler":
            pooled: Tensor = output.pooler_output
            return pooled.flatten(1)  # convolutional networks: (B, d, 1, 1)
        states: Tensor = output.last_hidden_state
        if states.ndim == 4:  # (B, d, h, w)
            return states.flatten(2).mean(dim=2)
        return states[:, 0] if self.pooling == "cls" else states[:, self._leading :].mean(dim=1)

    def _choose(self, pooling: str) -> str:
        """The pooling that `auto` means, or `pooling` if the model has it.

        Its own, except where that is a dense layer on the class token: this was trained for another end.
        """
        with torch.no_grad():
            blank = self.prepare([Image.new("RGB", (32, 32))])
            output = self.model.module(**{name: value.to(self.model.device) for name, value in blank.items()})
        allowed = ["mean"]
        if self._leading:
            allowed.insert(0, "cls")
        if self.model.has_pooler and getattr(output, "pooler_output", None) is not None:
            dense = any(name.startswith("pooler.dense.") for name, _ in self.model.module.named_parameters())
            allowed.insert(1 if dense else 0, "pooler")
        if pooling not in ("auto", *allowed):
            raise UsageError(
                f"pooling {pooling!r} does not apply to the {self.model.model_type!r} model in {self.model.folder}; "
                f"allowed: auto, {', '.join(allowed)}"
            )
        return allowed[0] if pooling == "auto" else pooling


def describe_pictures(
    encoder: PictureEncoder, dataset: Dataset, batch_size: int, report: PictureReport
) -> tuple[NDArray[np.int64], FloatMatrix]:
    """The items of `dataset` that have a readable picture, (n,), and their vectors, (n, d); `report` counts all.

    Memory does not grow with the number of pictures.

    Raises:
        FeatureError: no picture can be read.
    """
    found: list[NDArray[np.int64]] = []
    rows: list[FloatMatrix] = []
    with (
        progress_bar("pictures", dataset.n_items) as bar,
        prefetch(_batches(encoder, dataset, batch_size, report)) as ready,
    ):
        for items, inputs, looked_at in ready:
            if len(items):
                found.append(items)
                rows.append(encoder.encode(inputs))
            bar.advance(looked_at)
    if not rows:
        raise FeatureError(
            f"0 of {dataset.n_items} pictures can be read; check the image paths of the catalogue, or describe texts"
        )
    return np.concatenate(found), np.concatenate(rows)


def _batches(
    encoder: PictureEncoder, dataset: Dataset, batch_size: int, report: PictureReport
) -> Iterator[tuple[NDArray[np.int64], dict[str, Tensor], int]]:
    """Of every `batch_size` items those with a picture, the prepared pictures, and how many items these were."""
    for start in range(0, dataset.n_items, batch_size):
        items = range(start, min(start + batch_size, dataset.n_items))
        read = [(item, picture) for item, picture in read_pictures(dataset, items, report) if picture is not None]
        inputs = encoder.prepare([picture for _, picture in read]) if read else {}
        yield np.array([item for item, _ in read], dtype=np.int64), inputs, len(items)


def _load_processor(model: PretrainedModel) -> Any:  # an object of transformers, whose classes are not typed
    import transformers  # of an extra

    if not any((model.folder / name).is_file() for name in _PROCESSOR_FILES):
        raise ArtifactError(
            f"{model.folder} has no image processor ({' or '.join(_PROCESSOR_FILES)}); "
            "save the model's own beside its weights"
        )
    try:
        with quietly():
            stand_in = _STAND_INS.get(_processor_name(model))
            if stand_in is not None:
                return getattr(transformers, stand_in).from_pretrained(model.folder, local_files_only=True)
            return transformers.AutoImageProcessor.from_pretrained(
                model.folder, backend="pil", local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise ArtifactError(
            f"cannot use the image processor of {model.folder} ({reason}); give a model whose pictures Pillow prepares"
        ) from None


def _processor_name(model: PretrainedModel) -> str:
    for name in _PROCESSOR_FILES:
        if (model.folder / name).is_file():
            return str(read_json(model.folder / name).get("image_processor_type"))
    return ""


def _leading_tokens(model: PretrainedModel) -> int:
    """How many of a picture's states come before those of its patches: class token, distillation token, registers."""
    count = 0
    for name, value in model.module.named_parameters():
        kind = name.rpartition(".")[2]
        if kind in ("cls_token", "class_embedding", "distillation_token"):
            count += 1
        elif kind == "register_tokens":
            count += value.shape[-2]
    return count
