"""A table of figures with the best and the second best marked, for a terminal, in Markdown and in LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

from alignrec.studies.text_grid import latex_table, latex_text, markdown_text

__all__ = ["DIGITS", "Cell", "ComparisonGrid", "marked"]

DIGITS = 4
_STYLES = {"best": "bold", "second": "underline", "": ""}
_MARKDOWN = {"best": "**{}**", "second": "<u>{}</u>", "": "{}"}
_LATEX = {"best": r"\textbf{{{}}}", "second": r"\underline{{{}}}", "": "{}"}


@dataclass(frozen=True)
class Cell:
    """A mean (None: not measured), its sample standard deviation over seeds (None: one), what is to be seen at once."""

    mean: float | None
    std: float | None
    place: Literal["best", "second", ""] = ""
    sign: Literal["†", "‡", ""] = ""  # † better, ‡ worse than what it was tested against


@dataclass(frozen=True)
class ComparisonGrid:
    """One row per model, one column per metric."""

    title: str
    metrics: tuple[str, ...]
    rows: tuple[tuple[str, int | None, tuple[Cell, ...]], ...]  # label, seeds (None: it has none), a cell per metric
    notes: tuple[str, ...]

    def to_terminal(self) -> Table:
        """For a terminal: the best bold, the second underlined."""
        caption = Text("\n".join(self.notes))
        table = Table(title=Text(self.title), title_justify="left", caption=caption, caption_justify="left")
        table.add_column("model", overflow="fold")  # what tells rows apart may stand at a label's end
        for name in ("seeds", *self.metrics):
            table.add_column(name, justify="right", overflow="fold")  # a figure cut short would be another figure
        for label, seeds, cells in self.rows:
            table.add_row(Text(label), _count(seeds), *(_terminal(cell) for cell in cells))
        return table

    def to_markdown(self) -> str:
        """Title, table, notes."""
        head = " | ".join(["model", "seeds", *self.metrics])
        rule = " | ".join(["---", *["---:"] * (len(self.metrics) + 1)])
        rows = (
            " | ".join([markdown_text(label), _count(seeds), *(_markdown(cell) for cell in cells)])
            for label, seeds, cells in self.rows
        )
        table = "\n".join(f"| {line} |" for line in (head, rule, *rows))
        return "\n\n".join([f"**{self.title}**", table, "\n".join(f"- {note}" for note in self.notes)]) + "\n"

    def to_latex(self) -> str:
        r"""A `table` for the `booktabs` package; `\label` and place are left to the paper."""
        head = ["Model", "Seeds", *map(latex_text, self.metrics)]
        rows = [
            [latex_text(label), latex_text(_count(seeds)), *map(_latex, cells)] for label, seeds, cells in self.rows
        ]
        return latex_table(". ".join([self.title, *self.notes]), "l" + "r" * (len(head) - 1), head, rows)


def marked(cells: Sequence[Cell]) -> list[Cell]:
    """The cells of a column with the highest mean marked best and the next one second, as they are printed.

    Equal in print is equal; of a single cell nothing is marked.
    """
    printed = [None if cell.mean is None else round(cell.mean, DIGITS) for cell in cells]
    heights = sorted({height for height in printed if height is not None}, reverse=True)
    if len(heights) < 1 or len(cells) < 2:
        return list(cells)
    places: dict[float, Literal["best", "second", ""]] = {heights[0]: "best"}
    if printed.count(heights[0]) == 1 and len(heights) > 1:
        places[heights[1]] = "second"
    return [
        Cell(cell.mean, cell.std, "" if height is None else places.get(height, ""), cell.sign)
        for cell, height in zip(cells, printed, strict=True)
    ]


def _terminal(cell: Cell) -> Text:
    text = Text(_figure(cell), style=_STYLES[cell.place])
    return Text.assemble(text, (_spread(cell) + cell.sign, "not bold not underline"))


def _markdown(cell: Cell) -> str:
    return _MARKDOWN[cell.place].format(_figure(cell)) + _spread(cell) + cell.sign


def _latex(cell: Cell) -> str:
    return _LATEX[cell.place].format(latex_text(_figure(cell))) + latex_text(_spread(cell) + cell.sign)


def _figure(cell: Cell) -> str:
    return "–" if cell.mean is None else f"{cell.mean:.{DIGITS}f}"


def _count(seeds: int | None) -> str:
    return "–" if seeds is None else str(seeds)


def _spread(cell: Cell) -> str:
    return "" if cell.std is None else f" ± {cell.std:.{DIGITS}f}"
