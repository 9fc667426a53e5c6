"""A figure on disk: as a bitmap, as vectors, and the numbers it shows."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from alignrec.artifacts import write_bytes
from alignrec.errors import UsageError
from alignrec.studies.figures.style import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_figure"]

_DPI = 300


def write_figure(figure: "Figure", numbers: pl.DataFrame, out: str | Path, name: str) -> list[Path]:
    """Write `name`.png, `name`.svg and `name`.csv into the folder `out`; files of these names are replaced.

    The same figure gives the same bytes on every call. All three are made before the first is written.

    Raises:
        UsageError: `out` is a file.
        MissingExtraError: matplotlib is not installed.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{out} is a file; give the folder that the figure's files shall lie in")
    contents = {
        f"{name}.png": _rendered(figure, "png"),
        f"{name}.svg": _rendered(figure, "svg"),
        f"{name}.csv": numbers.write_csv().encode(),
    }
    for file, content in contents.items():
        write_bytes(folder / file, content)
    return [folder / file for file in contents]


def _rendered(figure: "Figure", form: str) -> bytes:
    undated = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[form]
    stream = io.BytesIO()
    with house_style():
        figure.savefig(stream, format=form, dpi=_DPI, metadata=undated)
    return stream.getvalue()
