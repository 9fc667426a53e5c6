"""What reads a catalogue for an encoder: tokenizers that were given, or made from the catalogue's own items."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from alignrec.artifacts import sole_writer, write_json
from alignrec.data import Dataset
from alignrec.encoders.catalogue_inputs import CatalogueInputs
from alignrec.encoders.encoder_folder import EncoderFolder, Readers
from alignrec.encoders.image_cache import ImageCache, build_image_cache
from alignrec.encoders.image_resizing import ImageSettings
from alignrec.encoders.item_texts import item_texts, text_lengths
from alignrec.encoders.patch_kmeans import PatchKMeans
from alignrec.encoders.text_tokens import TextTokenizer, TextTokenizerSettings, draw_texts
from alignrec.encoders.token_usage import TokenUsage, measure_usage
from alignrec.errors import ArtifactError, DataError
from alignrec.runtime import numpy_rng
from alignrec.studies.pretraining_plan import PretrainingPlan

__all__ = ["loading_workers", "make_readers", "visual_usage"]

_PICTURES = 64  # read at once
_ROWS = 4096  # items counted at once


def make_readers(folder: EncoderFolder, data: Dataset, plan: PretrainingPlan) -> Readers:
    """The tokenizers of the run in `folder`, made and kept there with the plan unless they are there already.

    Raises:
        DataError: no item has a text, or none a readable picture; nothing is written.
        ArtifactError: the tokenizers in `folder` are not those that were given, or another process writes there.
    """
    squares = ImageSettings.create({"size": plan.encoder.image_size, "fit": plan.catalogue.fit}, section="catalogue")
    if folder.has_readers:
        readers = folder.load_readers(squares, plan.catalogue.max_length, plan.catalogue.text_columns)
        _require_given(readers, plan, folder)
        return readers
    trained = TextTokenizerSettings(vocab_size=plan.catalogue.text_vocab)
    texts = _some_texts(data, plan.catalogue.text_columns, trained, plan.seed)
    if not texts:
        raise DataError(f"no item of dataset {data.name!r} has a text; an encoder of both modalities needs some")
    text = plan.text_tokenizer or TextTokenizer.train(texts, trained, seed=plan.seed)
    images = build_image_cache(data, squares, workers=loading_workers())
    if not images.found.any():
        raise DataError(
            f"no item of dataset {data.name!r} has a readable picture; an encoder of both modalities needs some"
        )
    visual = plan.visual_tokenizer or PatchKMeans.fit(_pictures(images, plan.seed), plan.visual, seed=plan.seed)
    readers = Readers(squares, text, visual, plan.catalogue.max_length, plan.catalogue.text_columns)
    with sole_writer(folder.path):  # only now: a catalogue that cannot be read leaves no folder
        write_json(folder.path / "plan.json", plan.as_dict())
        folder.save_readers(readers)
    return readers


def _some_texts(data: Dataset, columns: tuple[str, ...], settings: TextTokenizerSettings, seed: int) -> list[str]:
    """The texts to train a tokenizer on, of items that have one; never all those of a large catalogue at once."""
    lengths = text_lengths(data, columns)
    rows = np.flatnonzero(lengths)
    rows = rows[draw_texts(lengths[rows], settings, seed=seed)]
    texts: list[str] = []
    for start in range(0, data.n_items, _ROWS):
        chunk = range(start, min(start + _ROWS, data.n_items))
        wanted = rows[np.searchsorted(rows, chunk.start) : np.searchsorted(rows, chunk.stop)]
        read = item_texts(data, columns, rows=chunk) if len(wanted) else []
        texts += [read[row - start] for row in wanted.tolist()]
    return texts


def visual_usage(inputs: CatalogueInputs, vocab_size: int) -> TokenUsage:
    """How the visual words are used by the catalogue's pictures."""
    found = np.flatnonzero(inputs.has_image)
    parts = (found[start : start + _ROWS] for start in range(0, len(found), _ROWS))
    return measure_usage(map(inputs.patches, parts), vocab_size)


def loading_workers() -> int:
    """Processes that decode pictures: none beside a single thread."""
    return 0 if torch.get_num_threads() == 1 else min(os.cpu_count() or 1, 4)


def _pictures(images: ImageCache, seed: int) -> Iterator[Tensor]:
    """Those that can be read, in random order."""
    order = numpy_rng(seed, "patches").permutation(np.flatnonzero(images.found))
    return (images.load(order[start : start + _PICTURES]) for start in range(0, len(order), _PICTURES))


def _require_given(readers: Readers, plan: PretrainingPlan, folder: EncoderFolder) -> None:
    for kind, given in (("text", plan.text_tokenizer), ("visual", plan.visual_tokenizer)):
        if given is not None and given.content_hash != readers.hashes[kind]:
            raise ArtifactError(
                f"{folder.path / kind} is not the {kind} tokenizer that the run began with; choose another --out and "
                "begin anew"
            )
