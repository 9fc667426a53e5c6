"""Items → vectors, by an encoder: pooled states, joined, centred or whitened; every choice goes into the provenance."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from alignrec.encoders.catalogue_inputs import CatalogueInputs
from alignrec.encoders.multiway import MultiwayEncoder, MultiwayStates
from alignrec.encoders.pixel_values import standardise
from alignrec.progress import progress_bar
from alignrec.settings import Settings
from alignrec.types import FloatMatrix

__all__ = ["ExtractionSettings", "extract", "postprocess"]


class ExtractionSettings(Settings):
    """How an item's states become its vector."""

    pooling: Literal["cls", "bos", "cls+bos", "mean"] = "cls"
    """`cls`: the picture's token, as AlignRec; `bos`: the text's first; `cls+bos`: both, each of length 1, joined;
    `mean`: of all patches and words."""
    post: Literal["none", "center", "whiten"] = "none"
    """`center` takes the catalogue's mean off; `whiten` also gives every direction that matters the same spread."""
    modality: Literal["both", "image", "text"] = "both"
    """What the encoder is shown of every item; the absent one is a picture of hidden patches or an empty text."""
    batch_size: int = Field(default=256, ge=1)
    """Items encoded at once; it changes no result beyond rounding."""


def extract(encoder: MultiwayEncoder, inputs: CatalogueInputs, settings: ExtractionSettings) -> FloatMatrix:
    """One vector per item (I, D), in item order; the encoder is put into evaluation mode."""
    encoder.eval()
    device = encoder.cls_token.device
    parts: list[np.ndarray] = []
    with torch.no_grad(), progress_bar("items", len(inputs)) as bar:
        for start in range(0, len(inputs), settings.batch_size):
            items = np.arange(start, min(start + settings.batch_size, len(inputs)))
            states, padding = _encode(encoder, inputs, items, settings.modality, device)
            parts.append(_pool(states, padding, settings.pooling).float().cpu().numpy())
            bar.advance(len(items))
    return postprocess(np.concatenate(parts), settings.post)


def postprocess(matrix: FloatMatrix, post: str) -> FloatMatrix:
    """`matrix` (I, D) centred or whitened; whitening drops directions below a thousandth of the largest variance."""
    if post == "none":
        return matrix
    centred = matrix.astype(np.float64) - matrix.mean(axis=0, dtype=np.float64)
    if post == "whiten":
        variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
        kept = variances > 1e-3 * variances[-1]
        centred = centred @ directions[:, kept] / np.sqrt(variances[kept])
    return np.asarray(centred, dtype=np.float32)


def _encode(
    encoder: MultiwayEncoder, inputs: CatalogueInputs, items: np.ndarray, modality: str, device: torch.device
) -> tuple[MultiwayStates, Tensor]:
    tokens, padding = (part.to(device) for part in inputs.text(items))
    shows_image = torch.from_numpy(inputs.has_image[items] & (modality != "text")).to(device)
    shows_text = torch.from_numpy(inputs.has_text[items] & (modality != "image")).to(device)
    silent = ~shows_text[:, None] & (torch.arange(tokens.shape[1], device=device) > 0)
    padding = padding | silent
    masked = ~shows_image[:, None].expand(-1, encoder.settings.patches)
    images = standardise(inputs.images.load(items).to(device))
    return encoder(images, tokens, padding, masked), padding


def _pool(states: MultiwayStates, padding: Tensor, pooling: str) -> Tensor:
    if pooling == "cls":
        return states.cls
    if pooling == "bos":
        return states.bos
    if pooling == "cls+bos":
        return torch.cat([normalize(states.cls, dim=1), normalize(states.bos, dim=1)], dim=1)
    assert states.text is not None  # both modalities went in
    words = (~padding).unsqueeze(-1).to(states.patches.dtype)
    total = states.patches.sum(dim=1) + (states.text * words).sum(dim=1)
    return total / (states.patches.shape[1] + words.sum(dim=1))
