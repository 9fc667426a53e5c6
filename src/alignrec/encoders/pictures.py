"""Opens the pictures of a catalogue, one at a time, upright and in RGB; says which are missing or do not open."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps

from alignrec.data import Dataset
from alignrec.data.image_files import UNREADABLE, quiet_pillow

__all__ = ["PictureReport", "open_picture", "read_pictures"]

_EXAMPLES = 5


@dataclass
class PictureReport:
    """What became of the pictures that were asked for.

    `counts` says how many were found, unnamed (the catalogue names no picture), missing (no such file) and
    broken (not a readable picture).
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # item id -> path, of the first missing or broken ones

    def note(self, item_id: str, path: Path | None, outcome: str) -> None:
        """Count one item."""
        self.counts[outcome] += 1
        if outcome in ("missing", "broken") and len(self.examples) < _EXAMPLES:
            self.examples[item_id] = f"{path}: {outcome}"


def open_picture(path: Path, least_size: int | None = None) -> Image.Image:
    """The picture at `path`: decoded, turned upright, transparent parts on white, in RGB.

    `least_size` allows a JPEG to be decoded at a fraction of its size, neither side under that many pixels.

    Raises:
        OSError: the file is missing, is not a readable picture, or has more than 89 million pixels.
    """
    try:
        with quiet_pillow(), Image.open(path) as picture:
            if least_size is not None:
                picture.draft("RGB", (least_size, least_size))
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I;16"):  # Pillow would cut off all above 255
                upright = upright.point(lambda grey: grey * (1 / 257))
            if upright.has_transparency_data:
                layer = upright.convert("RGBA")
                white = Image.new("RGBA", layer.size, "white")
                return Image.alpha_composite(white, layer).convert("RGB")
            return upright.convert("RGB")
    except OSError:
        raise
    except UNREADABLE as error:
        raise OSError(f"{path} is not a readable picture ({error})") from None


def read_pictures(
    dataset: Dataset, items: Iterable[int], report: PictureReport, least_size: int | None = None
) -> Iterator[tuple[int, Image.Image | None]]:
    """Each of the item indices `items` with its picture, or None where there is none; `report` counts along."""
    for item in items:
        path, picture = dataset.image_path(item), None
        outcome = "unnamed" if path is None else "found" if path.is_file() else "missing"
        if path is not None and outcome == "found":
            try:
                picture = open_picture(path, least_size)
            except OSError:
                outcome = "broken"
        report.note(dataset.items.ids[item], path, outcome)
        yield item, picture
