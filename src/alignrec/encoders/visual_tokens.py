"""Pictures as words, which masked image modelling predicts: `PatchKMeans` needs no weights, `VqKd` official ones."""

from pathlib import Path
from typing import Protocol

from torch import Tensor

from alignrec.artifacts import read_json
from alignrec.encoders.patch_kmeans import PatchKMeans
from alignrec.encoders.vqkd import VqKd
from alignrec.errors import ArtifactError

__all__ = ["VisualTokenizer", "load_visual_tokenizer"]


class VisualTokenizer(Protocol):
    """One word for each patch of a square picture; nothing in it is trained along with an encoder."""

    @property
    def vocab_size(self) -> int:
        """K, the number of words."""

    @property
    def patch_size(self) -> int:
        """Width and height of a patch in pixels."""

    @property
    def content_hash(self) -> str:
        """SHA-256 of all that decides the words: two tokenizers with one hash are the same."""

    def grid(self, image_size: int) -> int:
        """g: an image of `image_size` pixels a side has g x g patches; UsageError where it cannot be cut so."""

    def encode(self, images: Tensor) -> Tensor:
        """The word of each patch, row by row: (B, 3, H, W) bytes or [0, 1] → (B, g·g) int64."""

    def save(self, folder: Path) -> None:
        """Write `folder`, which must not be there yet, whole or not at all."""


_KINDS: dict[str, type[PatchKMeans] | type[VqKd]] = {"patch-kmeans": PatchKMeans, "vqkd": VqKd}


def load_visual_tokenizer(folder: Path) -> PatchKMeans | VqKd:
    """Read the tokenizer that some `save` wrote into `folder`.

    Raises:
        ArtifactError: a file is missing, damaged or of an unknown kind.
    """
    kind = read_json(folder / "tokenizer.json").get("kind")
    if kind not in _KINDS:
        raise ArtifactError(f"{folder} holds visual words of kind {kind!r}, this version reads {', '.join(_KINDS)}")
    return _KINDS[kind].load(folder)
