"""Shape of the multiway encoder, and its four sizes.

`base` and `large` are those of BEiT-3 (Wang et al., 2022); `tiny` learns a small catalogue in minutes and `small` a
real one within the hour on two cores.
"""

import difflib
from typing import Any, Self

from pydantic import Field, model_validator

from alignrec.errors import SettingsError
from alignrec.settings import Settings

__all__ = ["MULTIWAY_PRESETS", "MultiwaySettings"]


class MultiwaySettings(Settings):
    """Shape of the encoder; the defaults are those of BEiT-3 base."""

    layers: int = Field(default=12, ge=1)
    """Blocks."""
    width: int = Field(default=768, ge=1)
    """Length d of a token's vector, and of an item's."""
    heads: int = Field(default=12, ge=1)
    """Attention heads; they divide `width`."""
    ffn: int = Field(default=3072, ge=1)
    """Hidden width of the feed-forward networks."""
    image_size: int = Field(default=224, ge=1)
    """Width and height of a picture, in pixels."""
    patch_size: int = Field(default=16, ge=1)
    """Width and height of a patch, in pixels; it divides `image_size`."""
    text_vocab: int = Field(default=64_010, ge=5)
    """Rows of the text embedding: at least the tokenizer's ids."""
    visual_vocab: int = Field(default=8192, ge=2)
    """Distinct visual tokens that masked patches are predicted as."""
    text_positions: int = Field(default=1022, ge=2)
    """Longest text in tokens, <s> and </s> among them."""
    drop_path: float = Field(default=0.1, ge=0, lt=1)
    """Chance that an item skips the last block in training; it rises linearly from 0 at the first."""
    checkpoint_activations: bool = False
    """Compute a block's activations again in the backward pass instead of keeping them: less memory, more time."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} does not divide width={self.width}")
        if self.image_size % self.patch_size:
            raise ValueError(f"patch_size={self.patch_size} does not divide image_size={self.image_size}")
        return self

    @property
    def grid(self) -> int:
        """Patches along a side of a picture."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """P, patches of a picture; they are numbered row by row."""
        return self.grid**2

    @classmethod
    def preset(cls, name: str, /, **changed: Any) -> Self:  # Any: values of settings
        """The settings called `name` in `MULTIWAY_PRESETS`, with some of them changed.

        Raises:
            SettingsError: there is no such preset, or a setting does not exist or cannot have this value.
        """
        if name not in MULTIWAY_PRESETS:
            near = difflib.get_close_matches(name, MULTIWAY_PRESETS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise SettingsError(f"unknown encoder size {name!r}; {hint}allowed: {', '.join(MULTIWAY_PRESETS)}")
        return cls.create({**MULTIWAY_PRESETS[name], **changed}, section="encoder")


MULTIWAY_PRESETS: dict[str, dict[str, Any]] = {  # Any: values of settings
    "tiny": {
        "layers": 3,
        "width": 128,
        "heads": 4,
        "ffn": 512,
        "image_size": 48,
        "patch_size": 8,
        "text_vocab": 1024,
        "visual_vocab": 128,
        "text_positions": 128,
        "drop_path": 0.0,
    },
    "small": {
        "layers": 4,
        "width": 192,
        "heads": 6,
        "ffn": 768,
        "image_size": 64,
        "patch_size": 8,
        "text_vocab": 8192,
        "visual_vocab": 512,
        "text_positions": 128,
        "drop_path": 0.0,
    },
    "base": {},
    "large": {"layers": 24, "width": 1024, "heads": 16, "ffn": 4096},
}
