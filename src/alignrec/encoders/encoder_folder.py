"""An encoder on disk: `encoder.json` (its shape, what it reads), its weights, and both tokenizers; plain files.

Beside the encoder's weights lie those of its heads, which only further training needs. `encoder.json` has a hash of
everything: whatever was exchanged since is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alignrec.artifacts import hash_file, read_arrays, read_json, write_arrays, write_json
from alignrec.data import Dataset
from alignrec.encoders.catalogue_inputs import CatalogueInputs, prepare_inputs
from alignrec.encoders.image_cache import build_image_cache
from alignrec.encoders.image_resizing import ImageSettings
from alignrec.encoders.item_texts import ITEM_TEXT_COLUMNS
from alignrec.encoders.multiway import MultiwayEncoder, TokenHead
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.text_tokens import TextTokenizer
from alignrec.encoders.visual_tokens import VisualTokenizer, load_visual_tokenizer
from alignrec.errors import ArtifactError, DataError

__all__ = ["EncoderFolder", "Readers"]

_FORMAT = 2
_READABLE = (1, 2)  # in format 1 the tokenizers had no hashes, and heads were not kept
_HEADS = "heads.safetensors"


@dataclass(frozen=True)
class Readers:
    """What turns a catalogue into an encoder's input."""

    images: ImageSettings
    text: TextTokenizer
    visual: VisualTokenizer
    max_length: int  # of a text, in tokens
    columns: tuple[str, ...] = ITEM_TEXT_COLUMNS  # whose values make an item's text

    @property
    def hashes(self) -> dict[str, str]:
        """The content hashes of both tokenizers."""
        return {"text": self.text.content_hash, "visual": self.visual.content_hash}

    def inputs(self, dataset: Dataset, *, workers: int = 0, device: torch.device | None = None) -> CatalogueInputs:
        """The input for every item, kept in the dataset's `cache` folder; `device` as of `prepare_inputs`.

        Raises:
            DataError: the dataset is only in memory.
        """
        if dataset.path is None:
            raise DataError(f"dataset {dataset.name!r} is only in memory; save it first")
        images = build_image_cache(dataset, self.images, workers=workers)
        folder = dataset.path / "cache"
        return prepare_inputs(
            dataset,
            images,
            self.text,
            self.visual,
            max_length=self.max_length,
            folder=folder,
            columns=self.columns,
            device=device,
        )


@dataclass(frozen=True)
class EncoderFolder:
    """A trained encoder in folder `path`; it is finished when `encoder.json` is there."""

    path: Path

    @property
    def finished(self) -> bool:
        """Whether it can be used."""
        return (self.path / "encoder.json").is_file()

    def save_readers(self, readers: Readers) -> None:
        """Write the tokenizers, before training."""
        readers.text.save(self.path / "text")
        if not (self.path / "visual").is_dir():
            readers.visual.save(self.path / "visual")

    def load_readers(
        self, images: ImageSettings, max_length: int, columns: tuple[str, ...] = ITEM_TEXT_COLUMNS
    ) -> Readers:
        """The tokenizers that `save_readers` wrote."""
        text, visual = TextTokenizer.load(self.path / "text"), load_visual_tokenizer(self.path / "visual")
        return Readers(images, text, visual, max_length, columns)

    @property
    def has_readers(self) -> bool:
        """Whether both tokenizers are there."""
        return (self.path / "text" / "text.json").is_file() and (self.path / "visual" / "tokenizer.json").is_file()

    def save(
        self,
        encoder: MultiwayEncoder,
        readers: Readers,
        about: dict[str, Any],  # Any: JSON values
        heads: Mapping[str, TokenHead] | None = None,
    ) -> None:
        """Write weights and description; the description comes last. `heads` are called mlm_head and mim_head."""
        _write_tensors(self.path / "encoder.safetensors", encoder.state_dict())
        if heads:
            kinds = ("weight", "bias")
            named = {
                f"{name}.{kind}": head.project.get_parameter(kind) for name, head in heads.items() for kind in kinds
            }
            _write_tensors(self.path / _HEADS, named)
        write_json(
            self.path / "encoder.json",
            {
                "format": _FORMAT,
                "encoder": encoder.settings.model_dump(),
                "images": readers.images.model_dump(),
                "max_length": readers.max_length,
                "text_columns": list(readers.columns),
                "weights": hash_file(self.path / "encoder.safetensors"),
                "heads": hash_file(self.path / _HEADS) if heads else None,
                "tokenizers": readers.hashes,
                "about": about,
            },
        )

    def description(self) -> dict[str, Any]:
        """What `encoder.json` says.

        Raises:
            ArtifactError: no finished encoder there.
        """
        if not self.finished:
            raise ArtifactError(f"no finished encoder in {self.path}; make one with 'alignrec encode pretrain'")
        return read_json(self.path / "encoder.json")

    def load(self) -> tuple[MultiwayEncoder, Readers, dict[str, Any]]:
        """The encoder, what reads for it, and its description.

        Raises:
            ArtifactError: no finished encoder there, or its weights or tokenizers were changed, or the weights are of
                another shape.
        """
        about = self._checked_description()
        encoder = MultiwayEncoder(MultiwaySettings.create(about["encoder"]), None)
        weights = self._tensors("encoder.safetensors", about.get("weights"))
        try:
            encoder.load_state_dict(weights, assign=True)
        except RuntimeError:  # torch names every tensor, over many lines
            raise ArtifactError(
                f"the weights in {self.path} are not of the shape in encoder.json; restore it or train anew"
            ) from None
        columns = tuple(about.get("text_columns", ITEM_TEXT_COLUMNS))
        readers = self.load_readers(ImageSettings.create(about["images"]), int(about["max_length"]), columns)
        if about["format"] > 1 and readers.hashes != about.get("tokenizers"):
            raise ArtifactError(
                f"the tokenizers in {self.path} are not those that its encoder was trained with; restore them or train "
                "it anew"
            )
        return encoder, readers, about

    def load_heads(self) -> dict[str, Tensor]:
        """The heads' weights, called `mlm_head.weight` and so on; empty where none were kept.

        Raises:
            ArtifactError: no finished encoder there, or they were changed.
        """
        about = self._checked_description()
        return {} if about.get("heads") is None else self._tensors(_HEADS, about["heads"])

    def _checked_description(self) -> dict[str, Any]:  # Any: JSON values
        about = self.description()
        if about.get("format") not in _READABLE:
            known = ", ".join(map(str, _READABLE))
            raise ArtifactError(f"{self.path} has encoder format {about.get('format')!r}, this version reads {known}")
        return about

    def _tensors(self, name: str, expected: object) -> dict[str, Tensor]:
        file = self.path / name
        if not file.is_file() or hash_file(file) != expected:
            raise ArtifactError(f"the weights in {self.path} are not those that encoder.json describes; train it anew")
        return {name: torch.from_numpy(array) for name, array in read_arrays(file).items()}


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    write_arrays(path, {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()})
