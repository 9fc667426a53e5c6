"""Items → vectors, by an encoder: pooled states, joined, centred or whitened; every choice goes into the provenance.

While a batch is encoded the next ones are read: pictures that are not in a cache yet are decoded meanwhile.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from alignrec.encoders.catalogue_inputs import ItemBatch, ItemSource
from alignrec.encoders.multiway import MultiwayEncoder, MultiwayStates
from alignrec.encoders.pixel_values import standardise
from alignrec.encoders.postprocessing import Postprocessing
from alignrec.encoders.prefetch import prefetch
from alignrec.encoders.vector_shards import VectorShards
from alignrec.errors import FeatureError
from alignrec.progress import progress_bar
from alignrec.settings import Settings
from alignrec.types import FloatMatrix

__all__ = ["ExtractionSettings", "encode_missing", "extract", "gather"]

_NEEDED = {"both": "a readable picture or a text", "image": "a readable picture", "text": "a text"}


class ExtractionSettings(Settings):
    """How an item's states become its vector."""

    pooling: Literal["cls", "bos", "cls+bos", "mean"] = "cls"
    """`cls`: the picture's token, as AlignRec; `bos`: the text's first; `cls+bos`: both, each of length 1, joined;
    `mean`: of all patches and words that are shown."""
    post: Literal["none", "center", "whiten"] = "none"
    """`center` takes the catalogue's mean off; `whiten` also gives every direction that matters the same spread."""
    modality: Literal["both", "image", "text"] = "both"
    """What the encoder is shown of every item; the absent one is a picture of hidden patches or an empty text."""
    batch_size: int = Field(default=256, ge=1)
    """Items encoded at once; it changes no result beyond rounding."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers that the encoder multiplies; `bfloat16` is faster where the processor has it, and keeps three digits."""
    shard_items: int = Field(default=4096, ge=1)
    """Items whose vectors are written together: a run that was broken off goes on after the last of them. It changes no
    result beyond rounding."""


def extract(encoder: MultiwayEncoder, inputs: ItemSource, settings: ExtractionSettings) -> FloatMatrix:
    """One vector per item (I, D), in item order; the encoder is put into evaluation mode.

    An item that shows nothing has the mean of the others.

    Raises:
        FeatureError: no item shows anything, or a vector is not finite.
    """
    return gather(list(_vectors(encoder, inputs, [range(len(inputs))], settings)), inputs, settings)


def encode_missing(
    encoder: MultiwayEncoder, inputs: ItemSource, settings: ExtractionSettings, shards: VectorShards
) -> int:
    """Encode the items whose shards are not on the disk, and write these; returns how many items that were.

    `inputs` are read to their end even where nothing is missing. `gather` makes the matrix of the shards.

    Raises:
        FeatureError: a vector is not finite; its shard is not written.
    """
    missing = shards.missing()
    with closing(_vectors(encoder, inputs, missing, settings)) as vectors:
        for rows in missing:
            batches = list(islice(vectors, -(-len(rows) // settings.batch_size)))
            shards.write(rows, np.concatenate(batches))
        for _ in vectors:
            pass
    return sum(map(len, missing))


def gather(blocks: Iterable[FloatMatrix], inputs: ItemSource, settings: ExtractionSettings) -> FloatMatrix:
    """The matrix (I, D) whose rows are in `blocks` (n, D), centred or whitened.

    Means and spreads are of the items that show something; the others have the mean. `blocks` is iterated up
    to three times and may read from the disk: as a whole the matrix is in memory once.

    Raises:
        FeatureError: no item shows anything.
    """
    shown = _shown(inputs, settings.modality)
    if not shown.any():
        raise FeatureError(f"none of {len(shown)} items has {_NEEDED[settings.modality]}; there is nothing to encode")
    step = Postprocessing.fit_blocks(lambda: _rows_of(blocks, shown), settings.post)
    matrix, stop = np.zeros((0, 0), dtype=np.float32), 0
    for block in blocks:
        vectors, start, stop = step(block), stop, stop + len(block)
        if not start:
            matrix = np.empty((len(shown), vectors.shape[1]), dtype=np.float32)
        matrix[start:stop] = vectors
    if not shown.all():
        centred = settings.post != "none"
        matrix[~shown] = 0 if centred else Postprocessing.fit_blocks(lambda: _rows_of(blocks, shown), "center").mean
    return matrix


def _shown(inputs: ItemSource, modality: str) -> NDArray[np.bool_]:
    if modality == "both":
        return inputs.has_image | inputs.has_text
    return inputs.has_image if modality == "image" else inputs.has_text


def _rows_of(blocks: Iterable[FloatMatrix], chosen: NDArray[np.bool_]) -> Iterator[FloatMatrix]:
    stop = 0
    for block in blocks:
        start, stop = stop, stop + len(block)
        yield block[chosen[start:stop]]


def _vectors(
    encoder: MultiwayEncoder, inputs: ItemSource, parts: Sequence[range], settings: ExtractionSettings
) -> Generator[FloatMatrix]:
    """Pooled states (B, D) of the items in `parts`, batch by batch; no batch reaches over two parts."""
    encoder.eval()
    device, size = encoder.cls_token.device, settings.batch_size
    batches = [range(n, min(n + size, part.stop)) for part in parts for n in range(part.start, part.stop, size)]
    done = len(inputs) - sum(map(len, batches))
    with prefetch(inputs.read(batches)) as read, progress_bar("items", len(inputs), done) as bar:
        for items, batch in zip(batches, read, strict=True):
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, settings.precision == "bfloat16"):
                vectors = _encode(encoder, batch, settings, device).float().cpu().numpy()
            if not np.isfinite(vectors).all():
                raise FeatureError(
                    f"the encoder's vectors of items number {items.start} to {items.stop - 1} are not finite; "
                    "train it anew with a lower learning rate"
                )
            bar.advance(len(items))
            yield vectors


def _encode(encoder: MultiwayEncoder, batch: ItemBatch, settings: ExtractionSettings, device: torch.device) -> Tensor:
    tokens, padding = batch.tokens.to(device), batch.padding.to(device)
    shows_image = batch.has_image.to(device) & (settings.modality != "text")
    shows_text = batch.has_text.to(device) & (settings.modality != "image")
    silent = ~shows_text[:, None] & (torch.arange(tokens.shape[1], device=device) > 0)
    hidden = ~shows_image[:, None].expand(-1, encoder.settings.patches)
    states = encoder(standardise(batch.images.to(device)), tokens, padding | silent, hidden)
    return _pool(states, ~hidden, ~padding & shows_text[:, None], settings.pooling)


def _pool(states: MultiwayStates, patches: Tensor, words: Tensor, pooling: str) -> Tensor:
    """(B, D), of the shown ones among the patches (B, P) and words (B, L) where these are read."""
    if pooling == "cls":
        return states.cls
    if pooling == "bos":
        return states.bos
    if pooling == "cls+bos":
        return torch.cat([normalize(states.cls, dim=1), normalize(states.bos, dim=1)], dim=1)
    assert states.text is not None  # both modalities went in
    shown = torch.cat([patches, words], dim=1).unsqueeze(-1).to(states.text.dtype)
    total = (torch.cat([states.patches, states.text], dim=1) * shown).sum(dim=1)
    return total / shown.sum(dim=1).clamp(min=1)
