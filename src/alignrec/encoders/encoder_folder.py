"""An encoder on disk: `encoder.json` (its shape, what it reads), its weights, and both tokenizers; plain files."""

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
from alignrec.encoders.multiway import MultiwayEncoder
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.text_tokens import TextTokenizer
from alignrec.encoders.visual_tokens import VisualTokenizer, load_visual_tokenizer
from alignrec.errors import ArtifactError, DataError

__all__ = ["EncoderFolder", "Readers"]

_FORMAT = 1


@dataclass(frozen=True)
class Readers:
    """What turns a catalogue into an encoder's input."""

    images: ImageSettings
    text: TextTokenizer
    visual: VisualTokenizer
    max_length: int  # of a text, in tokens

    def inputs(self, dataset: Dataset, *, workers: int = 0) -> CatalogueInputs:
        """The input for every item, kept in the dataset's `cache` folder.

        Raises:
            DataError: the dataset is only in memory.
        """
        if dataset.path is None:
            raise DataError(f"dataset {dataset.name!r} is only in memory; save it first")
        images = build_image_cache(dataset, self.images, workers=workers)
        folder = dataset.path / "cache"
        return prepare_inputs(dataset, images, self.text, self.visual, max_length=self.max_length, folder=folder)


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

    def load_readers(self, images: ImageSettings, max_length: int) -> Readers:
        """The tokenizers that `save_readers` wrote."""
        text, visual = TextTokenizer.load(self.path / "text"), load_visual_tokenizer(self.path / "visual")
        return Readers(images, text, visual, max_length)

    @property
    def has_readers(self) -> bool:
        """Whether both tokenizers are there."""
        return (self.path / "text" / "text.json").is_file() and (self.path / "visual" / "tokenizer.json").is_file()

    def save(self, encoder: MultiwayEncoder, readers: Readers, about: dict[str, Any]) -> None:
        """Write weights and description; the description comes last."""
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in encoder.state_dict().items()}
        write_arrays(self.path / "encoder.safetensors", weights)
        write_json(
            self.path / "encoder.json",
            {
                "format": _FORMAT,
                "encoder": encoder.settings.model_dump(),
                "images": readers.images.model_dump(),
                "max_length": readers.max_length,
                "weights": hash_file(self.path / "encoder.safetensors"),
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
            ArtifactError: no finished encoder there, or its weights were changed or are of another shape.
        """
        about = self.description()
        if about.get("format") != _FORMAT:
            raise ArtifactError(f"{self.path} has encoder format {about.get('format')!r}, this version reads {_FORMAT}")
        file = self.path / "encoder.safetensors"
        if not file.is_file() or hash_file(file) != about.get("weights"):
            raise ArtifactError(f"the weights in {self.path} are not those that encoder.json describes; train it anew")
        encoder = MultiwayEncoder(MultiwaySettings.create(about["encoder"]), None)
        arrays = read_arrays(file)
        weights: dict[str, Tensor] = {name: torch.from_numpy(array) for name, array in arrays.items()}
        try:
            encoder.load_state_dict(weights, assign=True)
        except RuntimeError:  # torch names every tensor, over many lines
            raise ArtifactError(
                f"the weights in {self.path} are not of the shape in encoder.json; restore it or train anew"
            ) from None
        readers = self.load_readers(ImageSettings.create(about["images"]), int(about["max_length"]))
        return encoder, readers, about
