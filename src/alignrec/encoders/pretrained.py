"""Item features by a pretrained Hugging Face model: CLIP and its like, vision models, text models, sentence models.

The model is named by a folder or by its name on the hub; what it describes is decided by its kind (see
`MODEL_TYPES`). all-MiniLM-L6-v2, for one, gives the text features that AlignRec, DREAM and FETTLE compare with.
Needs the extra `pretrained`.
"""

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from alignrec.data import Dataset
from alignrec.encoders.item_texts import item_texts
from alignrec.encoders.pictures import PictureReport
from alignrec.encoders.pretrained_files import fetch_weights, find_model, hash_weights
from alignrec.encoders.pretrained_images import PictureEncoder, describe_pictures
from alignrec.encoders.pretrained_models import PretrainedModel, load_model, modality_of, model_type_of
from alignrec.encoders.pretrained_texts import SentenceEncoder, describe_texts
from alignrec.encoders.sentence_modules import SentenceModules, read_sentence_modules, transformer_folder
from alignrec.errors import UsageError
from alignrec.features import FeatureTable
from alignrec.runtime import resolve_device
from alignrec.settings import Settings
from alignrec.types import FloatMatrix

__all__ = ["PretrainedSettings", "extract_pretrained", "pretrained_name"]

_SECTION = "hf"
_PACKAGES = ("transformers", "tokenizers", "torch", "pillow")


class PretrainedSettings(Settings):
    """How a pretrained model describes items."""

    what: Literal["image", "text", "both"] | None = None
    """Describe pictures, texts, or both joined; None: all that the model can read."""
    pooling: Literal["auto", "mean", "cls", "pooler"] = "auto"
    """How the states of patches or tokens become one vector: their mean, the class token, or the model's own pooler.
    `auto` is what the folder of a sentence model says, else the mean of a text's tokens; of a vision model its own
    pooler, or the class token where the pooler is a dense layer on it. CLIP and its like have only `auto`."""
    max_length: int | None = Field(default=None, ge=4)
    """Texts are cut after that many tokens; None: where the model's folder says."""
    prompt: str | None = None
    """Put before every text, as some models want ("passage: "); None: what the model's folder says, mostly nothing."""
    revision: str | None = None
    """Branch, tag or commit of a model on the hub; None: the main branch."""
    batch_size: int = Field(default=64, ge=1)
    """Items described at once; it changes no result beyond rounding."""


def pretrained_name(model: str) -> str:
    """A name for the features of `model`: the last part of its folder or name."""
    last = re.split(r"[/\\]", model.rstrip("/\\"))[-1]
    return re.sub(r"[^\w.-]+", "-", last).strip("-.") or "pretrained"


def extract_pretrained(
    model: str,
    dataset: Dataset,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,  # Any: user input
    device: str = "auto",
) -> FeatureTable:
    """Describe every item of `dataset` by the Hugging Face model in the folder, or of the name, `model`.

    A text is "title + brand + description". Vectors of CLIP and its like have length 1, both joined each length 1;
    others are as the model gives them. An item without a readable picture, or without a text, gets the mean of the
    others; how many these are is in the table's provenance, with the model's commit and the hashes of its weights.

    Raises:
        MissingExtraError: `transformers` is not installed.
        SettingsError: a setting that does not exist, or a value that is not allowed.
        UsageError: a model of another kind, or a setting that does not apply to it.
        ArtifactError: the model is not found, or not whole.
        FeatureError: the catalogue has nothing that the model can describe.
    """
    chosen = PretrainedSettings.create(settings, section=_SECTION)
    target = resolve_device(device)
    files = find_model(model, chosen.revision)
    what = _what(model_type_of(transformer_folder(files.folder)), chosen)
    fetch_weights(files)
    sentence = read_sentence_modules(files.folder)
    network = load_model(sentence.folder, target)
    blocks = []
    if what != "text":
        blocks.append(_pictures(network, dataset, chosen))
    if what != "image":
        blocks.append(_texts(network, sentence, dataset, chosen))
    provenance: dict[str, Any] = {  # JSON values
        "encoder": f"{_SECTION}:{model}",
        "model": {"type": network.model_type, "commit": files.commit, "weights": dict(hash_weights(files.folder))},
        "settings": chosen.model_dump() | {"what": what},
        "dataset": dataset.content_hash,
    }
    for block in blocks:
        provenance |= block.about
    provenance |= {
        "items_without": "the mean of the others",
        "versions": {package: importlib.metadata.version(package) for package in _PACKAGES},
    }
    matrix = np.concatenate([_filled(block, dataset.n_items) for block in blocks], axis=1)
    modality = "image+text" if what == "both" else what
    return FeatureTable(name or pretrained_name(model), modality, dataset.items.ids, matrix, provenance)


@dataclass(frozen=True, eq=False)
class _Block:
    """What one modality gives."""

    items: NDArray[np.int64]  # (n,), those that have it
    rows: FloatMatrix  # (n, d)
    about: Mapping[str, Any]  # JSON values: of the provenance


def _what(model_type: str, settings: PretrainedSettings) -> str:
    """What to describe.

    Raises:
        UsageError: a setting that does not apply.
    """
    modality = modality_of(model_type)
    everything = "both" if modality == "image+text" else modality
    what = settings.what or everything
    if modality != "image+text" and what != modality:
        raise _misfit("what", what, f"a {model_type!r} model describes {modality} only")
    if modality == "image+text" and settings.pooling != "auto":
        raise _misfit("pooling", settings.pooling, f"a {model_type!r} model has vectors of its own")
    for key, value in (("max_length", settings.max_length), ("prompt", settings.prompt)):
        if value is not None and what == "image":
            raise _misfit(key, value, "no text is read")
    return what


def _misfit(key: str, value: object, reason: str) -> UsageError:
    return UsageError(f"setting '{_SECTION}.{key}' cannot be {value!r} here, {reason}; leave it out")


def _pictures(network: PretrainedModel, dataset: Dataset, settings: PretrainedSettings) -> _Block:
    encoder, report = PictureEncoder(network, settings.pooling), PictureReport()
    items, rows = describe_pictures(encoder, dataset, settings.batch_size, report)
    about = {
        "pictures": {key: report.counts[key] for key in ("found", "unnamed", "missing", "broken")},
        "examples": report.examples,
        "picture_pooling": encoder.pooling,
    }
    return _Block(items, rows, about)


def _texts(
    network: PretrainedModel, sentence: SentenceModules, dataset: Dataset, settings: PretrainedSettings
) -> _Block:
    encoder = SentenceEncoder(
        network, sentence, pooling=settings.pooling, max_length=settings.max_length, prompt=settings.prompt
    )
    items, rows = describe_texts(encoder, item_texts(dataset), settings.batch_size)
    about = {
        "texts": {"found": len(items), "empty": dataset.n_items - len(items)},
        "text_pooling": encoder.pooling,
        "text_tokens": encoder.max_length,
        "text_prompt": encoder.prompt,
    }
    return _Block(items, rows, about)


def _filled(block: _Block, n_items: int) -> FloatMatrix:
    """(n_items, d): the rows at their items, their mean elsewhere."""
    matrix = np.empty((n_items, block.rows.shape[1]), dtype=np.float32)
    matrix[:] = block.rows.mean(axis=0, dtype=np.float64)
    matrix[block.items] = block.rows
    return matrix
