"""Small pictures as data URIs within a budget: a page stands alone and stays light, however many items it shows."""

import base64
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["SIZES", "data_uris", "thumbnail"]

SIZES = (96, 72, 48, 32)  # pixels; the first at which all pictures fit into the budget is taken
_QUALITY = 75


def thumbnail(path: Path, size: int) -> str | None:
    """A WebP data URI of the picture within size x size pixels; None if it is not there or does not open."""
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (size, size))
            small = ImageOps.exif_transpose(picture)
            small.thumbnail((size, size), Image.Resampling.LANCZOS)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    if small.has_transparency_data:  # on white, as catalogues show such pictures
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small.convert("RGBA"))
    stream = io.BytesIO()
    small.convert("RGB").save(stream, "WEBP", quality=_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def data_uris(shown: Iterable[Path], budget: int) -> Mapping[Path, str]:
    """The pictures of a page, each as often as it is `shown`, together within `budget` bytes.

    They are made smaller until they fit; if the smallest do not fit either, those shown first are kept. What does not
    open is left out.
    """
    times = Counter(shown)
    found: dict[Path, str] = {}
    for size in SIZES:
        found = {path: uri for path in times if (uri := thumbnail(path, size)) is not None}
        if sum(len(uri) * times[path] for path, uri in found.items()) <= budget:
            return found
    kept = {}
    for path, uri in found.items():
        budget -= len(uri) * times[path]
        if budget < 0:
            break
        kept[path] = uri
    return kept
