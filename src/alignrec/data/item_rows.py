"""The catalogue of a dataset: one row per item in index order, and whether its pictures are there and open."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from PIL import Image

from alignrec.data.image_files import UNREADABLE, quiet_pillow
from alignrec.data.raw import ITEM_COLUMNS
from alignrec.progress import track

__all__ = ["ImageReport", "check_images", "item_rows"]

_EXAMPLES = 5


@dataclass(frozen=True)
class ImageReport:
    """What became of the pictures that a source named."""

    named: int
    missing: int  # no such file
    broken: int  # Pillow cannot open it
    examples: Mapping[str, str] = field(default_factory=dict)  # item id -> path and what is wrong with it


def item_rows(items: pl.DataFrame, item_ids: Sequence[str]) -> tuple[pl.DataFrame, dict[str, int]]:
    """The rows of `items` in the order of `item_ids`; an item without a row gets an empty one.

    An item that is listed more than once keeps its first row. Texts of blanks alone become null.

    Returns:
        The catalogue, and counts: `without_row` items, `repeated_rows` left out.
    """
    first = items.unique("item_id", keep="first", maintain_order=True)
    texts = [name for name, dtype in ITEM_COLUMNS.items() if dtype == pl.String and name != "item_id"]
    blank = [pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name)).alias(name) for name in texts]
    wanted = pl.DataFrame({"item_id": pl.Series(item_ids, dtype=pl.String)})
    rows = wanted.join(first.with_columns(blank), on="item_id", how="left", maintain_order="left")
    counts = {
        "without_row": len(wanted.join(first, on="item_id", how="anti")),
        "repeated_rows": len(items) - len(first),
    }
    return rows.select(pl.col(name).cast(dtype) for name, dtype in ITEM_COLUMNS.items()), counts


def check_images(catalogue: pl.DataFrame, folder: Path, stage: Path | None = None) -> tuple[pl.DataFrame, ImageReport]:
    """Try every picture; the catalogue then names only pictures that are there and open.

    Args:
        catalogue: its `image` paths are absolute or relative to `folder`.
        folder: the dataset folder. Pictures inside it are named relative to it, others by absolute path.
        stage: where the dataset folder's files are while it is being written.
    """
    paths: list[str | None] = []
    troubles: dict[str, str] = {}
    counts = {"missing": 0, "broken": 0}
    named = 0
    rows = catalogue.select("item_id", "image").iter_rows()
    for item, value in track(rows, "checking pictures", len(catalogue)):
        if value is None:
            paths.append(None)
            continue
        named += 1
        kept, file = _place(value, folder, stage or folder)
        trouble = _trouble(file)
        paths.append(None if trouble else kept)
        if trouble:
            counts[trouble] += 1
            if counts[trouble] <= _EXAMPLES:
                troubles[item] = f"{value}: {trouble}"
    checked = catalogue.with_columns(pl.Series("image", paths, dtype=pl.String))
    return checked, ImageReport(named=named, examples=troubles, **counts)


def _place(value: str, folder: Path, stage: Path) -> tuple[str, Path]:
    """How the dataset names the picture, and the file to open now."""
    home = Path(os.path.abspath(folder))  # noqa: PTH100  (links are kept as the user wrote them)
    path = Path(os.path.normpath(home / value))
    if path.is_relative_to(home):
        inside = path.relative_to(home)
        return inside.as_posix(), stage / inside
    return str(path), path


def _trouble(file: Path) -> str | None:
    if not os.path.isfile(file):  # noqa: PTH113  (a name too long for the system is a file that is not there)
        return "missing"
    try:
        with quiet_pillow(), Image.open(file) as picture:  # refuses what the encoders would not open either
            picture.verify()
    except UNREADABLE:
        return "broken"
    return None
