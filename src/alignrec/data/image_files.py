"""Pictures that lie beside a catalogue: found by the item's id as their file name, or by a path in a column."""

import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from alignrec.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "UNREADABLE", "index_images", "picture_path", "quiet_pillow"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")  # where two pictures have one name, the first of these wins
# what Pillow raises on files that are not, or not wholly, the picture they claim to be
_DAMAGED = (SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RuntimeError, EOFError)
_TOO_LARGE = (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning)  # above 89 million pixels
UNREADABLE: tuple[type[Exception], ...] = (OSError, *_DAMAGED, struct.error, zlib.error, *_TOO_LARGE)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Where Pillow would warn of a file made to fill the memory, none is opened; of all else it says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def index_images(folder: Path) -> dict[str, str]:
    """Absolute path of the picture of each item id, for files `folder`/ID.jpg (or .jpeg, .png, .webp).

    A file whose name is not UTF-8 is no item's.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of images; give the folder that holds ITEM_ID.jpg")
    home = Path(os.path.abspath(folder))  # noqa: PTH100  (links are kept as the user wrote them)
    found: dict[str, tuple[int, str]] = {}
    with os.scandir(home) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122  (a Path for each entry is slow)
            if suffix.lower() in IMAGE_SUFFIXES and _is_text(stem):
                choice = (IMAGE_SUFFIXES.index(suffix.lower()), entry.path)
                found[stem] = min(choice, found.get(stem, choice))
    return {stem: path for stem, (_, path) in found.items()}


def _is_text(name: str) -> bool:
    """Whether a name can be an id: bytes that are not UTF-8 arrive as halves of surrogate pairs."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def picture_path(item: str, named: str | None, bases: Sequence[Path], by_id: Mapping[str, str]) -> str | None:
    """Absolute path of an item's picture: what its row names, else what `by_id` has.

    A named path is relative to the first of `bases` where there is such a file, and to the first of them if there is
    none. An address such as https://... is no file, so the item falls back on `by_id`.
    """
    if named is None or "://" in named:
        return by_id.get(item)
    paths = [os.path.abspath(base / named) for base in bases]  # noqa: PTH100
    return next((path for path in paths if os.path.isfile(path)), paths[0])  # noqa: PTH113  (strings, many)
