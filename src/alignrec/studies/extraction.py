"""An encoder's features for a dataset: where the encoder's folder, the catalogue and the feature table meet."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from alignrec.data import Dataset
from alignrec.encoders.encoder_folder import EncoderFolder
from alignrec.encoders.extraction import ExtractionSettings, extract
from alignrec.features import FeatureTable, require_usable_name
from alignrec.runtime import resolve_device

__all__ = ["extract_features"]


def extract_features(
    encoder: EncoderFolder | str | Path,
    dataset: Dataset,
    *,
    name: str,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> FeatureTable:
    """One vector per item of `dataset` by the encoder in a folder.

    Raises:
        FeatureError: the name is not usable.
        SettingsError: unknown extraction setting.
        ArtifactError: no finished encoder there.
    """
    require_usable_name(name)
    folder = encoder if isinstance(encoder, EncoderFolder) else EncoderFolder(Path(encoder))
    chosen = ExtractionSettings.create(settings, section="extract")
    module, readers, about = folder.load()
    inputs = readers.inputs(dataset, workers=_workers())
    matrix = extract(module.to(resolve_device(device)), inputs, chosen)
    provenance = {
        "encoder": about["weights"],
        "extraction": chosen.model_dump(),
        "plan": about["about"].get("plan", {}),
    }
    return FeatureTable(name, _modality(chosen), dataset.items.ids, matrix, provenance)


def _modality(settings: ExtractionSettings) -> str:
    return {"both": "image+text", "image": "image", "text": "text"}[settings.modality]


def _workers() -> int:
    return 0 if torch.get_num_threads() == 1 else min(os.cpu_count() or 1, 4)
