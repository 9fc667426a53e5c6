"""A table of texts with a title and notes, for a terminal, in Markdown and in LaTeX."""

import re
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from alignrec.probes.grids import escaped

__all__ = ["TextGrid"]

_SIGNS = {"±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "×": r"$\times$", "−": "$-$", "<": "$<$", ">": "$>$"}


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
                table.add_column(name, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return Group(Text(self.title, style="italic"), table, *(Text(note) for note in self.notes), "")

    def to_markdown(self) -> str:
        """Title, table, notes."""
        rule = ["---" if number < self.words else "---:" for number in range(len(self.head))]
        body = [[re.sub(r"([\\|*_<\[\]])", r"\\\1", cell) for cell in row] for row in (self.head, *self.rows)]
        lines = [body[0], rule, *body[1:]]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts = [f"**{self.title}**", table, *(["\n".join(f"- {note}" for note in self.notes)] if self.notes else [])]
        return "\n\n".join(parts) + "\n"

    def to_latex(self) -> str:
        r"""A `table` for the `booktabs` package; `\label` and place are left to the paper."""
        lines = [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{_latex('. '.join([self.title, *self.notes]))}}}",
            rf"  \begin{{tabular}}{{{'l' * self.words}{'r' * (len(self.head) - self.words)}}}",
            r"    \toprule",
            rf"    {' & '.join(_latex(name) for name in self.head)} \\",
            r"    \midrule",
            *(rf"    {' & '.join(_latex(cell) for cell in row)} \\" for row in self.rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    return "".join(_SIGNS.get(sign, sign) for sign in escaped(text))
