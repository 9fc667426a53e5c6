"""A table of texts with a title and notes, for a terminal, in Markdown and in LaTeX."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from alignrec.probes.grids import escaped

__all__ = ["TextGrid", "latex_table", "latex_text", "markdown_text"]

_SIGNS = {
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "<": "$<$",
    ">": "$>$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "†": r"$^{\dagger}$",
    "‡": r"$^{\ddagger}$",
}


@dataclass(frozen=True)
class TextGrid:
    """The first `words` columns hold words, the others figures."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    words: int = 1

    def to_terminal(self) -> Group:
        """Title above, notes below as wide as the terminal."""
        table = Table()
        for number, name in enumerate(self.head):
            if number < self.words:
                table.add_column(name, overflow="fold")  # what tells rows apart may stand at the end of a word
            else:
                table.add_column(name, justify="right", overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return Group(Text(self.title, style="italic"), table, *(Text(note) for note in self.notes), "")

    def to_markdown(self) -> str:
        """Title, table, notes."""
        rule = ["---" if number < self.words else "---:" for number in range(len(self.head))]
        body = [[markdown_text(cell) for cell in row] for row in (self.head, *self.rows)]
        lines = [body[0], rule, *body[1:]]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts = [f"**{self.title}**", table, *(["\n".join(f"- {note}" for note in self.notes)] if self.notes else [])]
        return "\n\n".join(parts) + "\n"

    def to_latex(self) -> str:
        r"""A `table` for the `booktabs` package; `\label` and place are left to the paper."""
        head, *rows = ([latex_text(cell) for cell in row] for row in (self.head, *self.rows))
        columns = "l" * self.words + "r" * (len(self.head) - self.words)
        return latex_table(". ".join([self.title, *self.notes]), columns, head, rows)


def markdown_text(text: str) -> str:
    """`text` with the signs that Markdown reads as marks made plain."""
    return re.sub(r"([\\|*_<\[\]])", r"\\\1", text)


def latex_text(text: str) -> str:
    """`text` with the signs that LaTeX reads as commands made plain, and those that its fonts lack as commands."""
    return "".join(_SIGNS.get(sign, sign) for sign in escaped(text))


def latex_table(caption: str, columns: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A `table` for the `booktabs` package of cells that are LaTeX; `columns` is what `tabular` is given."""
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{latex_text(caption)}}}",
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        rf"    {' & '.join(head)} \\",
        r"    \midrule",
        *(rf"    {' & '.join(row)} \\" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
