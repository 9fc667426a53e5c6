"""An encoder's features for a dataset: where the encoder's folder, the catalogue and the feature table meet.

Vectors are kept in shards in the dataset's `cache` while they are made: a run that was broken off goes on, if started
again with the same encoder, settings and catalogue, and ends with the bytes of an unbroken one.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alignrec.artifacts import hash_values
from alignrec.data import Dataset
from alignrec.encoders.catalogue_stream import CatalogueStream
from alignrec.encoders.encoder_folder import EncoderFolder
from alignrec.encoders.extraction import ExtractionSettings, encode_missing, gather
from alignrec.encoders.vector_shards import VectorShards
from alignrec.errors import DataError
from alignrec.features import FeatureTable, require_usable_name, save_features
from alignrec.runtime import resolve_device, return_freed_memory, set_threads
from alignrec.studies.encoder_readers import loading_workers

__all__ = ["Extraction", "extract_features", "run_extraction"]

_FORMAT = 1
_MODALITIES = {"both": "image+text", "image": "image", "text": "text"}
_EXAMPLES = 5


@dataclass(frozen=True)
class Extraction:
    """A feature table and what it took."""

    table: FeatureTable
    encoded: int  # items encoded in this run; the others were there from one that was broken off
    seconds: float  # of decoding and encoding

    @property
    def items_per_second(self) -> float:
        """Items encoded in a second."""
        return self.encoded / self.seconds


def extract_features(
    encoder: EncoderFolder | str | Path,
    dataset: Dataset,
    *,
    name: str,
    settings: Mapping[str, Any] | None = None,  # Any: user input
    device: str = "auto",
    threads: int = 1,
    workers: int | None = None,
) -> FeatureTable:
    """One vector per item of `dataset` by the encoder in a folder; see `run_extraction`, which also can save it."""
    run = run_extraction(
        encoder, dataset, name=name, settings=settings, device=device, threads=threads, workers=workers
    )
    return run.table


def run_extraction(
    encoder: EncoderFolder | str | Path,
    dataset: Dataset,
    *,
    name: str,
    settings: Mapping[str, Any] | None = None,  # Any: user input
    device: str = "auto",
    threads: int = 1,
    workers: int | None = None,
    save: bool = False,
) -> Extraction:
    """Encode every item of `dataset`; pictures that are not in its cache yet are decoded at the same time.

    Args:
        encoder: a trained encoder or its folder.
        dataset: saved in a folder.
        name: of the table.
        settings: of `ExtractionSettings`.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        threads: CPU threads of the encoder; one makes the run repeatable to the byte.
        workers: processes that decode pictures; 0: the thread that reads does; None: 0 beside one thread, else up to 4.
        save: put the table into the dataset's features, before the shards it was made of are removed.

    Raises:
        FeatureError: the name is not usable, a vector is not finite, or no item has what is encoded.
        SettingsError: unknown extraction setting.
        DataError: the dataset is only in memory.
        ArtifactError: no finished encoder there, the disk is too small, or a process that decodes died.
    """
    require_usable_name(name)
    folder = encoder if isinstance(encoder, EncoderFolder) else EncoderFolder(Path(encoder))
    chosen, where = ExtractionSettings.create(settings, section="extract"), resolve_device(device)
    if dataset.path is None:
        raise DataError(f"dataset {dataset.name!r} is only in memory; save it first")
    set_threads(threads)
    module, readers, about = folder.load()
    started = time.perf_counter()
    stream = CatalogueStream(
        dataset,
        readers.images,
        readers.text,
        readers.max_length,
        columns=readers.columns,
        modality=chosen.modality,
        workers=loading_workers() if workers is None else workers,
    )
    key = hash_values(
        {
            "format": _FORMAT,
            "encoder": about["weights"],
            "extraction": chosen.model_dump(),
            "items": stream.content_hash,
            "device": where.type,
        }
    )
    shards = VectorShards(dataset.path / "cache" / f"vectors-{key[:16]}", len(stream), chosen.shard_items)
    encoded = encode_missing(module.to(where), stream, chosen, shards)
    seconds = time.perf_counter() - started
    provenance = {
        "encoder": about["weights"],
        "extraction": chosen.model_dump(),
        "plan": about["about"].get("plan", {}),
        "dataset": dataset.content_hash,
        **_lacking(dataset, stream, chosen.modality),
    }
    return_freed_memory()  # of encoding: all vectors at once take its place
    matrix = gather(shards, stream, chosen)
    table = FeatureTable(name, _MODALITIES[chosen.modality], dataset.items.ids, matrix, provenance)
    if save:
        save_features(dataset.path / "features", table)
    shards.remove()
    return Extraction(table, encoded, seconds)


def _lacking(dataset: Dataset, stream: CatalogueStream, modality: str) -> dict[str, Any]:  # Any: JSON values
    """What was found of each modality that was read, and the first items that lack it."""
    about: dict[str, Any] = {}
    report, has_text = stream.picture_report(), stream.has_text
    if report is not None:
        about["pictures"] = {key: report.counts[key] for key in ("found", "unnamed", "missing", "broken")}
        about["examples"] = report.examples
    if modality != "image":
        empty = np.flatnonzero(~has_text)
        about["texts"] = {"found": int(has_text.sum()), "empty": len(empty)}
        about["examples_without_text"] = [dataset.items.ids[item] for item in empty[:_EXAMPLES]]
    about["nothing_shown"] = int((~(stream.has_image | has_text)).sum())
    about["items_without"] = "the mean of the others"
    return about
