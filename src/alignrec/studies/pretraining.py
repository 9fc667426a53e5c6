"""Pre-train an encoder on a catalogue, and extract an encoder's features: where data, encoder, loop and probes meet."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from alignrec.artifacts import hash_values, read_json, write_json
from alignrec.data import Dataset
from alignrec.encoders.catalogue_inputs import CatalogueInputs, inverse_document_frequency
from alignrec.encoders.encoder_folder import EncoderFolder, Readers
from alignrec.encoders.extraction import ExtractionSettings, extract
from alignrec.encoders.ica import IcaObjective, IcaSettings
from alignrec.encoders.image_cache import build_image_cache
from alignrec.encoders.image_resizing import ImageSettings
from alignrec.encoders.item_texts import item_texts
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.patch_kmeans import PatchKMeans, PatchKMeansSettings
from alignrec.encoders.text_tokens import TextTokenizer, TextTokenizerSettings
from alignrec.errors import ArtifactError, DataError, SettingsError
from alignrec.features import FeatureTable
from alignrec.probes import zero_shot
from alignrec.runtime import derive_seed, keep_large_buffers, resolve_device, set_threads, torch_rng
from alignrec.settings import Settings
from alignrec.studies.training import TrainingStoppedError
from alignrec.training import RunFiles
from alignrec.training.encoder import (
    MaskedItems,
    MaskingSettings,
    PretrainingSettings,
    held_out_items,
    held_out_losses,
    pretrain,
)

__all__ = ["CatalogueSettings", "pretrain_encoder"]

_SECTIONS = ("encoder", "ica", "masking", "training", "catalogue")


class CatalogueSettings(Settings):
    """How pictures and texts are read."""

    fit: Literal["pad", "squash"] = "pad"
    """`pad` keeps a picture's proportions, `squash` does not."""
    max_length: int = Field(default=64, ge=3)
    """Longest text in tokens."""
    text_vocab: int | None = Field(default=None, ge=8)
    """Pieces of the tokenizer trained on the catalogue; None: by the size of its texts."""
    visual_vocab: int = Field(default=128, ge=2)
    """Visual tokens, fitted on the catalogue's patches."""
    probe_every: int = Field(default=0, ge=0)
    """Rounds between two zero-shot probes of the features on the way; 0: none."""


def pretrain_encoder(
    dataset: Dataset | str | Path,
    *,
    out: str | Path,
    preset: str = "tiny",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    resume: bool = False,
) -> EncoderFolder:
    """Train an encoder by mask-then-predict on the pictures and texts of `dataset`; no interaction is looked at.

    Args:
        dataset: a dataset or its folder.
        out: folder of the encoder; must be new, unless `resume`.
        preset: size of the encoder: tiny, small, base, large.
        settings: sections `encoder`, `ica`, `masking`, `training`, `catalogue`.
        seed: decides everything that is drawn.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        threads: CPU threads; one makes the run repeatable to the byte.
        resume: go on with the run in `out`, or return it if it is finished.

    Raises:
        SettingsError: an unknown preset, section or setting.
        ArtifactError: `out` holds something else.
        TrainingStoppedError: Ctrl-C was pressed; the state is saved.
    """
    data = dataset if isinstance(dataset, Dataset) else Dataset.load(dataset)
    folder = EncoderFolder(Path(out))
    plan = _plan(data, preset, settings or {}, seed)
    if _already_there(folder, plan, resume):
        return folder
    where = resolve_device(device)
    set_threads(threads)
    keep_large_buffers()
    readers = _readers(folder, data, plan, seed)
    inputs = readers.inputs(data, workers=_workers())
    encoder = MultiwaySettings.create(
        plan["encoder"] | {"text_vocab": readers.text.vocab_size, "visual_vocab": readers.visual.vocab_size}
    )
    weights = inverse_document_frequency(inputs.tokens, readers.text.vocab_size)
    objective = IcaObjective(encoder, IcaSettings.create(plan["ica"]), weights, torch_rng(seed, "init"))
    training = PretrainingSettings.create(plan["training"], section="training")
    masking = MaskingSettings.create(plan["masking"], section="masking")
    validate = _Validation(data, inputs, objective, training, masking, seed, int(plan["catalogue"]["probe_every"]))
    result = pretrain(
        objective, inputs, training, masking, validate, seed=seed, device=where, files=RunFiles(folder.path)
    )
    if result.status == "interrupted":
        raise TrainingStoppedError(
            f"stopped after round {result.epochs} of {training.rounds}; "
            "the same command with --resume goes on from there"
        )
    folder.save(objective.encoder, readers, {"plan": plan, "held_out": result.history[-1]["valid"]})
    shutil.rmtree(folder.path / "checkpoint", ignore_errors=True)
    return folder


class _Validation:
    """Losses on the held-out items, and every few rounds the zero-shot recall of all items' vectors."""

    def __init__(
        self,
        data: Dataset,
        inputs: CatalogueInputs,
        objective: IcaObjective,
        training: PretrainingSettings,
        masking: MaskingSettings,
        seed: int,
        probe_every: int,
    ) -> None:
        self._data, self._inputs, self._objective, self._seed = data, inputs, objective, seed
        self._items = held_out_items(len(inputs), training.held_out, seed)
        if not len(self._items):
            self._items = np.arange(min(len(inputs), 64))
        self._source = MaskedItems(inputs, self._items, objective, masking, training, seed)
        self._probe_every = probe_every

    def __call__(self, number: int) -> dict[str, float]:
        figures = held_out_losses(self._source, self._items, self._objective, self._seed)
        if self._probe_every and number % self._probe_every == 0:
            for pooling in ("cls", "cls+bos"):
                matrix = extract(
                    self._objective.encoder, self._inputs, ExtractionSettings(pooling=pooling, post="center")
                )
                table = FeatureTable("probe", "image+text", self._data.items.ids, matrix)
                figures[f"zero-shot {pooling} recall@20"] = zero_shot(table, self._data.log, ks=(20,)).recall(20)
        return figures


def _plan(data: Dataset, preset: str, settings: Mapping[str, Mapping[str, Any]], seed: int) -> dict[str, Any]:
    unknown = sorted(set(settings) - set(_SECTIONS))
    if unknown:
        raise SettingsError(f"unknown section {unknown[0]!r} of settings; allowed: {', '.join(_SECTIONS)}")
    for name in ("text_vocab", "visual_vocab"):
        if name in settings.get("encoder", {}):
            raise SettingsError(f"encoder.{name} follows from the catalogue's tokens; set catalogue.{name} instead")
    encoder = MultiwaySettings.preset(preset, **settings.get("encoder", {}))
    catalogue = CatalogueSettings.create(settings.get("catalogue"), section="catalogue")
    if catalogue.max_length > encoder.text_positions:
        raise SettingsError(
            f"catalogue.max_length={catalogue.max_length} is beyond the encoder's {encoder.text_positions} positions; "
            "lower it or raise encoder.text_positions"
        )
    return {
        "dataset": data.content_hash,
        "preset": preset,
        "seed": seed,
        "encoder": encoder.model_dump(),
        "ica": IcaSettings.create(settings.get("ica"), section="ica").model_dump(),
        "masking": MaskingSettings.create(settings.get("masking"), section="masking").model_dump(),
        "training": PretrainingSettings.create(settings.get("training"), section="training").model_dump(),
        "catalogue": catalogue.model_dump(),
    }


def _already_there(folder: EncoderFolder, plan: dict[str, Any], resume: bool) -> bool:
    path, described = folder.path, folder.path / "plan.json"
    if not described.is_file():
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ArtifactError(f"{path} exists and is not an encoder's folder; choose another --out")
        return False
    if not resume:
        raise ArtifactError(f"{path} holds an encoder's run; add --resume to go on with it, or choose another --out")
    if hash_values(read_json(described)) != hash_values(plan):
        raise ArtifactError(f"{path} holds a run with other settings, data or seed; choose another --out")
    return folder.finished


def _readers(folder: EncoderFolder, data: Dataset, plan: Mapping[str, Any], seed: int) -> Readers:
    catalogue = CatalogueSettings.create(plan["catalogue"], section="catalogue")
    encoder = plan["encoder"]
    squares = ImageSettings.create({"size": encoder["image_size"], "fit": catalogue.fit}, section="catalogue")
    if folder.has_readers:
        return folder.load_readers(squares, catalogue.max_length)
    texts = [text for text in item_texts(data) if text]
    if not texts:
        raise DataError(f"no item of dataset {data.name!r} has a text; an encoder of both modalities needs some")
    text = TextTokenizer.train(texts, TextTokenizerSettings(vocab_size=catalogue.text_vocab), seed=seed)
    images = build_image_cache(data, squares, workers=_workers())
    found = np.flatnonzero(images.found)
    if not len(found):
        raise DataError(
            f"no item of dataset {data.name!r} has a readable picture; an encoder of both modalities needs some"
        )
    order = np.random.default_rng(derive_seed(seed, "patches")).permutation(found)
    batches = (images.load(order[start : start + 64]) for start in range(0, len(order), 64))
    kmeans = PatchKMeansSettings.create(
        {"vocab_size": catalogue.visual_vocab, "patch_size": encoder["patch_size"]}, section="catalogue"
    )
    readers = Readers(squares, text, PatchKMeans.fit(batches, kmeans, seed=seed), catalogue.max_length)
    write_json(folder.path / "plan.json", plan)  # only now: a catalogue that cannot be read leaves no folder
    folder.save_readers(readers)
    return readers


def _workers() -> int:
    return 0 if torch.get_num_threads() == 1 else min(os.cpu_count() or 1, 4)
