"""The house style of figures: the width of a journal's column, legible type, colours that everyone tells apart.

Colours are those of Okabe and Ito (Color Universal Design, 2008); series beyond their number differ in line style. What
is set here replaces whatever a user's own matplotlib settings say, so that the same numbers give the same picture.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from alignrec.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = [
    "COLOURS",
    "COLUMN",
    "HATCHES",
    "LINE_STYLES",
    "MARKERS",
    "PAGE",
    "colour",
    "hatch",
    "house_style",
    "line_sample",
    "line_style",
    "marker",
    "panels",
    "repeat_marker",
    "shared_legend",
    "whole_ticks",
]

LineStyle = Literal["-", "--", "-.", ":"]

COLUMN = 8.5  # cm, of a two-column paper
PAGE = 17.6  # cm, both columns
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINE_STYLES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P")
HATCHES = ("", "/////", ".....", "xxxxx")
_CM = 1 / 2.54  # inches
_SETTINGS = {
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-3, 5),
    "axes.formatter.use_mathtext": True,
    "svg.hashsalt": "alignrec",  # names inside an SVG are drawn from it: equal pictures are equal bytes
    "figure.dpi": 100,
}
_LETTERS_PER_CM = 6.6  # of the legend's type, with room to spare
_HANDLE = 6  # letters' worth of the line before a legend's text and of the gap after it
_LEGEND_LINE = 0.37  # cm


@contextmanager
def house_style() -> Iterator[None]:
    """What is drawn and saved inside the block has the style of this module.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib.style as styles  # an extra
    except ImportError:
        raise MissingExtraError("drawing needs matplotlib; install it with: pip install 'alignrec[figures]'") from None
    with styles.context(["default", _SETTINGS]):
        yield


def colour(place: int) -> str:
    """The colour of series number `place`, from 0."""
    return COLOURS[place % len(COLOURS)]


def line_style(place: int) -> LineStyle:
    """The line style of series number `place`: another one once all colours are used."""
    return LINE_STYLES[place // len(COLOURS) % len(LINE_STYLES)]


def marker(place: int) -> str:
    """The marker of series number `place`."""
    return MARKERS[place % len(MARKERS)]


def repeat_marker(place: int) -> str:
    """For lines whose style says something else: none for the first series of a colour, a marker for the next ones."""
    again = place // len(COLOURS)
    return marker(again - 1) if again else ""


def hatch(place: int) -> str:
    """The hatching of the bars of series number `place`: none until all colours are used."""
    return HATCHES[place // len(COLOURS) % len(HATCHES)]


def whole_ticks(panel: "Axes") -> None:
    """Ticks of a panel's x axis at whole numbers, as of epochs."""
    from matplotlib.ticker import MaxNLocator  # an extra, which `house_style` asked for

    panel.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))


def panels(
    count: int, *, per_row: int, width: float, height: float, share_x: bool = False
) -> "tuple[Figure, list[Axes]]":
    """A figure of `width` cm with `count` panels, each row `height` cm high. Call it inside `house_style`."""
    from matplotlib.figure import Figure  # an extra, which `house_style` asked for

    columns = min(per_row, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * _CM, height * rows * _CM), layout="constrained")
    found = list(figure.subplots(rows, columns, squeeze=False, sharex=share_x).ravel())
    for spare in found[count:]:
        spare.remove()
    return figure, found[:count]


def line_sample(shade: str, style: LineStyle = "-", mark: str = "") -> "Line2D":
    """A line for a legend that stands for no one series."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=shade, linestyle=style, marker=mark)


def shared_legend(figure: "Figure", handles: "Sequence[Artist]", labels: Sequence[str]) -> None:
    """A legend of the whole figure below its panels, in as many columns as fit; the figure grows by its height."""
    width, height = figure.get_size_inches()
    letters = int(width / _CM * _LETTERS_PER_CM)
    texts = [textwrap.fill(label, letters - _HANDLE) for label in labels]
    widest = max(len(line) for text in texts for line in text.splitlines()) + _HANDLE
    columns = max(1, min(len(texts), letters // widest))
    rows = -(-len(texts) // columns)
    columns = -(-len(texts) // rows)  # evenly filled
    lines = max(sum(text.count("\n") + 1 for text in texts[at : at + rows]) for at in range(0, len(texts), rows))
    figure.set_size_inches(width, height + (lines * _LEGEND_LINE + 0.2) * _CM)
    figure.legend(list(handles), texts, loc="outside lower center", ncols=columns)
