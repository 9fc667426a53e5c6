"""Pictures of any size → squares of bytes of one size, as encoders read them; many at once by worker processes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from alignrec.encoders.pictures import open_picture
from alignrec.settings import Settings

__all__ = ["OUTCOMES", "ImageSettings", "ResizeJob", "resize_into_file", "to_square"]

OUTCOMES = ("found", "unnamed", "missing", "broken")  # the code of an outcome is its position
_FINER = 2  # a JPEG is decoded at no less than this many times the square's side


class ImageSettings(Settings):
    """How a picture becomes a square."""

    size: int = Field(default=224, ge=8, le=2048)
    """Width and height of the square in pixels."""
    fit: Literal["pad", "squash"] = "pad"
    """`pad` keeps the proportions, on white; `squash` gives them up, as the official BEiT-3 code does."""
    quick_jpeg: bool = True
    """Whether a large JPEG is decoded at a fraction of its size, 2 to 4 times as fast; pixels differ a little."""


@dataclass(frozen=True)
class ResizeJob:
    """Some neighbouring rows of a file of squares."""

    file: Path
    offset: int  # in bytes, where the first of the squares belongs
    start: int  # number of the first item
    paths: Sequence[Path | None]  # one for each item
    settings: ImageSettings


def to_square(picture: Image.Image, settings: ImageSettings) -> NDArray[np.uint8]:
    """An RGB picture as bytes (3, S, S), resized by Pillow's bicubic filter."""
    size = settings.size
    if settings.fit == "squash" or picture.width == picture.height:
        square = picture.resize((size, size), Image.Resampling.BICUBIC)
    else:
        scale = size / max(picture.size)
        width, height = (max(1, round(side * scale)) for side in picture.size)
        square = Image.new("RGB", (size, size), "white")
        small = picture.resize((width, height), Image.Resampling.BICUBIC)
        square.paste(small, ((size - width) // 2, (size - height) // 2))
    return np.asarray(square).transpose(2, 0, 1)


def resize_into_file(job: ResizeJob) -> bytes:
    """Write the squares of `job` to their place; zeros where there is no readable picture. One outcome code a picture.

    The squares are on the disk when this returns, so whoever notes the outcomes notes no more than there is.
    """
    size = job.settings.size
    squares = np.zeros((len(job.paths), 3, size, size), dtype=np.uint8)
    outcomes = bytes(_read_into(square, path, job.settings) for square, path in zip(squares, job.paths, strict=True))
    with job.file.open("r+b", buffering=0) as stream:
        stream.seek(job.offset)
        left = squares.data.cast("B")
        while left:
            left = left[stream.write(left) :]
        os.fsync(stream.fileno())
    return outcomes


def _read_into(square: NDArray[np.uint8], path: Path | None, settings: ImageSettings) -> int:
    if path is None:
        return OUTCOMES.index("unnamed")
    try:
        if not path.is_file():
            return OUTCOMES.index("missing")
        picture = open_picture(path, _FINER * settings.size if settings.quick_jpeg else None)
    except OSError:
        return OUTCOMES.index("broken")
    square[...] = to_square(picture, settings)
    return OUTCOMES.index("found")
