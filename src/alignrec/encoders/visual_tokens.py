"""Pictures as words, which masked image modelling predicts: `PatchKMeans` needs no weights, `VqKd` official ones."""

from pathlib import Path
from typing import Protocol

from torch import Tensor

from alignrec.artifacts import read_json
from alignrec.encoders.patch_kmeans import PatchKMeans
from alignrec.encoders.vqkd import VqKd
from alignrec.errors import ArtifactError, UsageError

__all__ = ["VisualTokenizer", "load_visual_tokenizer", "require_fit"]

_MOST_WORDS = 1 << 15  # words of a catalogue are kept as 16-bit numbers


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


def load_visual_tokenizer(path: Path) -> PatchKMeans | VqKd:
    """Read a tokenizer: an official VQ-KD checkpoint, a folder that some `save` wrote, or an encoder's folder.

    Raises:
        ArtifactError: a file is missing, damaged, of an unknown kind or of another architecture.
    """
    if path.is_file():
        return VqKd.from_checkpoint(path)
    folder = path / "visual" if (path / "visual").is_dir() else path
    kind = read_json(folder / "tokenizer.json").get("kind")
    if kind not in _KINDS:
        raise ArtifactError(f"{folder} holds visual words of kind {kind!r}, this version reads {', '.join(_KINDS)}")
    return _KINDS[kind].load(folder)


def require_fit(tokenizer: VisualTokenizer, image_size: int, patch_size: int) -> None:
    """Check that the words are those of the patches of an encoder.

    Raises:
        UsageError: patches or pictures of another size, or more words than can be kept.
    """
    if tokenizer.patch_size != patch_size:
        raise UsageError(
            f"the visual tokenizer reads patches of {tokenizer.patch_size} pixels, the encoder's have {patch_size}; "
            "give a tokenizer for these, or set encoder.patch_size where the encoder's weights are not given"
        )
    try:
        tokenizer.grid(image_size)
    except UsageError as error:
        raise UsageError(f"{error}; set encoder.image_size to that, or take another visual tokenizer") from None
    if tokenizer.vocab_size > _MOST_WORDS:
        raise UsageError(
            f"the visual tokenizer has {tokenizer.vocab_size} words; {_MOST_WORDS} is the most, take another"
        )
