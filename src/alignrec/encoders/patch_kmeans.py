"""Visual words without any other model: k-means over what the patches of the catalogue's own pictures look like.

Product photographs are mostly background: of a plain sample most rows would be one white patch, and most of the
centres would tell shades of white apart. So patches without structure may be only a part of the sample (`flat_share`).
The sample is drawn from a stream of any length in constant memory, and does not depend on how the stream is cut.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from alignrec.artifacts import (
    hash_arrays,
    hash_values,
    read_arrays,
    read_json,
    staged_folder,
    write_arrays,
    write_json,
)
from alignrec.encoders.patch_descriptors import COLOURS, DESCRIPTOR_SIZE, EDGES, describe_patches, flat_patches
from alignrec.encoders.pixel_values import patches_per_side
from alignrec.encoders.token_usage import TokenUsage, measure_usage
from alignrec.errors import ArtifactError, FeatureError
from alignrec.ops import fit_centres, matmul, nearest_centres
from alignrec.runtime import numpy_rng
from alignrec.settings import Settings
from alignrec.types import FloatMatrix

__all__ = ["PatchKMeans", "PatchKMeansSettings"]

_FORMAT = 1


class PatchKMeansSettings(Settings):
    """How patches become words."""

    patch_size: int = Field(default=16, ge=2, multiple_of=2)
    """Width and height of a patch in pixels; that of the encoder."""
    vocab_size: int | None = Field(default=None, ge=2)
    """Number of words; None: a fiftieth of the patches sampled, 8 times their square root, or `most_words`: the least.
    """
    most_words: int = Field(default=8192, ge=2)
    """Words where `vocab_size` is not given, if there are patches enough; 8192 is what VQ-KD has."""
    sample_size: int = Field(default=100_000, ge=100)
    """Patches that the words are fitted to, drawn from all pictures; all patches where there are fewer."""
    flat_share: float = Field(default=0.1, ge=0, lt=1)
    """The part of the sample that patches without structure may be."""
    flat_below: float = Field(default=0.02, ge=0)
    """A patch has no structure if red, green and blue all deviate by less than that (0..1) from their means."""
    passes: int = Field(default=12, ge=1)
    """Passes of k-means over the sample."""
    colour_weight: float = Field(default=2.0, ge=0)
    """Weight of the mean colour against the spread of the colours, which is 1."""
    shape_weight: float = Field(default=1.0, ge=0)
    """Weight of the edges."""
    whiten: bool = False
    """Whether the descriptors are turned to principal components (95 % of the variance) of equal variance."""


class PatchKMeans(nn.Module):
    """A visual tokenizer whose words are the centres of patch descriptors.

    `usage` says how the words are used in the sample they were fitted to.
    """

    def __init__(
        self, settings: PatchKMeansSettings, offset: Tensor, scale: Tensor, centres: Tensor, usage: TokenUsage
    ) -> None:
        super().__init__()
        self.settings, self.usage = settings, usage
        self.register_buffer("offset", offset)  # (38,)
        self.register_buffer("scale", scale)  # (38, d)
        self.register_buffer("centres", centres)  # (K, d)
        self.offset: Tensor
        self.scale: Tensor
        self.centres: Tensor

    @classmethod
    def fit(cls, batches: Iterable[Tensor], settings: PatchKMeansSettings | None = None, *, seed: int = 0) -> Self:
        """Find the words of the images in `batches`, each (B, 3, H, W) bytes or [0, 1]; read once, not kept.

        Raises:
            FeatureError: no image, or fewer different patches than `vocab_size`.
            UsageError: images that are not squares of patches.
        """
        settings = settings or PatchKMeansSettings()
        rows = _sample(batches, settings, seed)
        distinct = len(torch.unique(rows, dim=0))
        size = settings.vocab_size or _suitable_size(len(rows), distinct, settings.most_words)
        if distinct < size:
            raise FeatureError(
                f"the pictures have {distinct} different patches in a sample of {len(rows)}, "
                f"vocab_size is {size}; lower it or give more pictures"
            )
        offset, scale = _linear_map(rows, settings)
        points = matmul(rows - offset, scale)
        size = min(size, len(torch.unique(points, dim=0)))  # a weight of 0 makes rows equal
        centres = fit_centres(points, size, numpy_rng(seed, "patch k-means", "start"), settings.passes)
        usage = measure_usage([nearest_centres(points, centres)[0]], size)
        return cls(settings, offset, scale, centres, usage)

    @property
    def vocab_size(self) -> int:
        """K."""
        return len(self.centres)

    @property
    def patch_size(self) -> int:
        """Width and height of a patch in pixels."""
        return self.settings.patch_size

    @property
    def content_hash(self) -> str:
        """SHA-256 of all that decides the words: two tokenizers with one hash are the same."""
        numbers = (self.offset, self.scale, self.centres)
        return hash_values({"kind": "patch-kmeans", "patch": self.patch_size, "numbers": _hash_tensors(numbers)})

    def grid(self, image_size: int) -> int:
        """g: an image of `image_size` pixels a side has g x g patches.

        Raises:
            UsageError: the size is no multiple of the patch.
        """
        return patches_per_side(image_size, image_size, self.patch_size)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The word of each patch, row by row: (B, 3, H, W) bytes or [0, 1] → (B, g·g) int64."""
        with torch.autocast(images.device.type, enabled=False):
            described = describe_patches(images, self.patch_size)
            points = matmul(described.flatten(0, 1) - self.offset, self.scale)
            return nearest_centres(points, self.centres)[0].view(described.shape[:2])

    def save(self, folder: Path) -> None:
        """Write `folder` whole or not at all.

        Raises:
            ArtifactError: the folder is there and not empty.
        """
        with staged_folder(folder) as stage:
            arrays = {name: value.cpu().numpy() for name, value in self.state_dict().items()}
            write_arrays(stage / "tokenizer.safetensors", arrays)
            about = {"format": _FORMAT, "kind": "patch-kmeans", "settings": self.settings.model_dump()}
            write_json(stage / "tokenizer.json", about | {"usage": self.usage.as_dict()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is missing, damaged or of another kind.
        """
        about = read_json(folder / "tokenizer.json")
        if (about.get("kind"), about.get("format")) != ("patch-kmeans", _FORMAT):
            raise ArtifactError(f"{folder} holds no patch k-means of format {_FORMAT}; fit the visual words again")
        arrays = read_arrays(folder / "tokenizer.safetensors")
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        settings = PatchKMeansSettings.create(about.get("settings"))
        if not _fits_together(tensors):
            raise ArtifactError(f"{folder}/tokenizer.safetensors is not whole; fit the visual words again")
        usage = TokenUsage.from_dict(about.get("usage", {}))
        return cls(settings, tensors["offset"], tensors["scale"], tensors["centres"], usage)


class _Reservoir:
    """The `size` rows with the smallest keys of all that were offered; keys are drawn in the order of the rows."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.seen = 0
        self._size, self._rng = size, rng
        self._keys: NDArray[np.float64] = np.zeros(0)
        self._rows: FloatMatrix = np.zeros((0, DESCRIPTOR_SIZE), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    def offer(self, rows: FloatMatrix) -> None:
        self.seen += len(rows)
        keys = self._rng.random(len(rows))
        if len(self._keys) == self._size:
            near = keys < self._keys[-1]
            keys, rows = keys[near], rows[near]
        if len(rows):
            keys, rows = np.concatenate([self._keys, keys]), np.concatenate([self._rows, rows])
            kept = np.argsort(keys, kind="stable")[: self._size]
            self._keys, self._rows = keys[kept], rows[kept]

    def rows(self, most: int) -> FloatMatrix:
        return self._rows[: max(0, most)]


def _hash_tensors(tensors: Iterable[Tensor]) -> str:
    return hash_arrays(*(tensor.cpu().numpy() for tensor in tensors))


def _sample(batches: Iterable[Tensor], settings: PatchKMeansSettings, seed: int) -> Tensor:
    """At most `sample_size` descriptors (n, 38), the flat ones held to their share."""
    size = settings.sample_size
    structured = _Reservoir(size, numpy_rng(seed, "patch k-means", "structured"))
    flat = _Reservoir(size, numpy_rng(seed, "patch k-means", "flat"))
    for images in batches:
        described = describe_patches(images.cpu(), settings.patch_size).flatten(0, 1)
        empty = flat_patches(described, settings.flat_below)
        structured.offer(described[~empty].numpy())
        flat.offer(described[empty].numpy())
    if not structured.seen + flat.seen:
        raise FeatureError("no pictures to find visual words in; check the image paths of the catalogue")
    share = min(settings.flat_share, flat.seen / (structured.seen + flat.seen))
    some = structured.rows(size - round(size * share))
    # where nearly all is flat, flat patches make up for the want of others
    wanted = max(round(len(some) * share / (1 - share)), 2 * (settings.vocab_size or 0) - len(some))
    rest = flat.rows(min(wanted if len(some) else size, size - len(some)))
    return torch.from_numpy(np.concatenate([some, rest]))


def _suitable_size(patches: int, distinct: int, most: int) -> int:
    return max(2, min(most, patches // 50, math.isqrt(64 * patches), distinct))


def _linear_map(rows: Tensor, settings: PatchKMeansSettings) -> tuple[Tensor, Tensor]:
    """What descriptors are moved by (38,) and multiplied by (38, d) before distances are taken."""
    weights = torch.ones(DESCRIPTOR_SIZE)
    weights[COLOURS], weights[EDGES] = settings.colour_weight, settings.shape_weight
    offset = rows.double().mean(0)
    if not settings.whiten:
        return offset.float(), torch.diag(weights)
    centred = (rows.double() - offset) * weights
    variances, axes = torch.linalg.eigh(centred.t() @ centred / len(rows))
    variances, axes = variances.flip(0).clamp(min=0), axes.flip(1)
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()  # the sign of an axis is arbitrary
    kept = int((variances.cumsum(0) < 0.95 * variances.sum()).sum()) + 1
    widths = (variances + 0.01 * variances[0]).clamp(min=1e-12).sqrt()  # noise is not blown up to the size of the rest
    return offset.float(), (weights.unsqueeze(1) * axes / widths)[:, :kept].float()


def _fits_together(tensors: Mapping[str, Tensor]) -> bool:
    shapes = [tuple(tensors[name].shape) for name in ("offset", "scale", "centres") if name in tensors]
    if [len(shape) for shape in shapes] != [1, 2, 2] or any(value.dtype != torch.float32 for value in tensors.values()):
        return False
    offset, scale, centres = shapes
    return offset == (DESCRIPTOR_SIZE,) and scale == (DESCRIPTOR_SIZE, centres[1]) and centres[0] > 0
