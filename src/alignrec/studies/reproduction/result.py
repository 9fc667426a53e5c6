"""Ours beside a paper's: a table per dataset with the difference, and how far a difference is more than chance.

σ of a difference is our standard deviation over seeds and, where the paper gives one, its own, added as squares. It
is marked only where there are two seeds or more and nothing is known that sets the data apart from the paper's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import polars as pl

from alignrec.studies.reproduction.published import PublishedFigure, PublishedTable, elsewhere, published_paper
from alignrec.studies.text_grid import TextGrid

__all__ = ["ReproducedCell", "ReproducedRow", "ReproducedTable", "Reproduction"]

_SIGMAS = 3.0
Mark = Literal["=", "↑", "↓", ""]


@dataclass(frozen=True)
class ReproducedCell:
    """One figure of ours (None: not measured) beside the printed one (None: not printed)."""

    column: str
    ours: float | None
    std: float | None  # sample standard deviation over seeds; None: one seed, or no matter of seeds
    published: PublishedFigure | None

    @property
    def difference(self) -> float | None:
        """Ours minus published."""
        return None if self.ours is None or self.published is None else self.ours - self.published.value

    @property
    def sigma(self) -> float | None:
        """Standard deviation of the difference; None where ours is not known."""
        if self.std is None or self.published is None:
            return None
        return math.hypot(self.std, self.published.std or 0.0)

    @property
    def mark(self) -> Mark:
        """= within 3σ, ↑ above, ↓ below; nothing where σ is not known."""
        if self.difference is None or self.sigma is None:
            return ""
        # the printed number is rounded: half of its last digit is no difference
        if abs(self.difference) <= _SIGMAS * self.sigma + 0.5 * 10 ** -_digits(self.column):
            return "="
        return "↑" if self.difference > 0 else "↓"


@dataclass(frozen=True)
class ReproducedRow:
    """One model of a table."""

    label: str
    cells: tuple[ReproducedCell, ...]
    seeds: int | None = None  # None: no matter of seeds
    features: tuple[str, ...] = ()
    difference: str | None = None  # what sets its features apart from the paper's
    runs: Mapping[int, str] = field(default_factory=dict)  # seed -> folder
    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: section -> settings of its runs


@dataclass(frozen=True)
class ReproducedTable:
    """A published table on one dataset."""

    published: PublishedTable
    dataset: str  # as the paper calls it
    data: str  # in a line
    differences: tuple[str, ...]  # what sets the dataset apart from the paper's
    rows: tuple[ReproducedRow, ...]
    left_out: Mapping[str, str]  # label -> why
    remarks: tuple[str, ...] = ()

    def mark(self, row: ReproducedRow, cell: ReproducedCell) -> Mark:
        """The mark of a cell; none where the data are not the paper's."""
        return "" if self.differences or row.difference else cell.mark

    def grid(self) -> TextGrid:
        """The printed form."""
        lines = []
        for row in self.rows:
            for number, cell in enumerate(row.cells):
                ours = "–" if cell.ours is None else _shown(cell.column, cell.ours)
                ours += "" if cell.std is None else f" ± {_shown(cell.column, cell.std)}"
                theirs = "–" if cell.published is None else _shown(cell.column, cell.published.value)
                if cell.published is not None and cell.published.std is not None:
                    theirs += f" ± {_shown(cell.column, cell.published.std)}"
                gap = "–" if cell.difference is None else _signed(cell.column, cell.difference)
                mark = self.mark(row, cell)
                seeds = "–" if row.seeds is None else str(row.seeds)
                names = (row.label, seeds) if number == 0 else ("", "")
                lines.append((*names, cell.column, ours, theirs, f"{gap} {mark}".rstrip()))
        paper = published_paper(self.published.paper)
        title = (
            f"{self.published.title}, {self.dataset}: ours and {paper.name} ({paper.venue}), {self.published.source}"
        )
        head = ("model", "seeds", "figure", "ours", "published", "difference")
        return TextGrid(title, head, tuple(lines), tuple(self.notes()), words=3)

    def notes(self) -> list[str]:
        """What a reader must know of the comparison, a line each."""
        found = [self.data, *self._feature_lines(), *self._difference_lines()]
        if any(row.seeds is not None for row in self.rows):
            found += self._seed_lines()
        found += [f"left out: {', '.join(labels)}: {why}" for why, labels in _grouped(self.left_out).items()]
        return [*found, *self._conflicts(), *self.published.remarks, *self.remarks]

    def _feature_lines(self) -> list[str]:
        by_features = _grouped({row.label: " + ".join(row.features) for row in self.rows if row.seeds is not None})
        return [f"features {name or 'none'}: {', '.join(labels)}" for name, labels in by_features.items()]

    def _difference_lines(self) -> list[str]:
        of_rows = _grouped({row.label: row.difference for row in self.rows if row.difference})
        parts = [*self.differences, *(f"{', '.join(labels)}: {what}" for what, labels in of_rows.items())]
        if not parts:
            return []
        return [f"not the same data: {'; '.join(parts)}; the difference is not a reproduction error"]

    def _seed_lines(self) -> list[str]:
        counts = [row.seeds for row in self.rows if row.seeds is not None]
        found = []
        if any(self.mark(row, cell) for row in self.rows for cell in row.cells):
            found.append("= within 3σ of the published figure, ↑ above, ↓ below; σ over seeds, theirs and ours")
        if any(count == 1 for count in counts):
            found.append("one seed: its spread is not known and nothing is marked; give more with --seeds 0,1,2")
        return found

    def _conflicts(self) -> list[str]:
        """What is known against the printed figures, and what other papers print for the same cells."""
        found = []
        for row in self.rows:
            for note in self.published.notes_on(self.dataset, row.label):
                found.append(f"published {' '.join([row.label, note.column or '']).strip()}: {note.text}")
            others: dict[str, list[str]] = {}
            for cell in row.cells:
                printed = None if cell.published is None else cell.published.value
                for paper, value in elsewhere(self.dataset, row.label, cell.column).items():
                    if value != printed:
                        others.setdefault(paper, []).append(f"{cell.column} {value:.4f}")
            for paper, figures in others.items():
                found.append(f"{published_paper(paper).name} prints other numbers of {row.label}: {', '.join(figures)}")
        return found

    def lines(self) -> list[dict[str, Any]]:  # Any: JSON values
        """One flat record per row and column."""
        return [
            {
                "paper": self.published.paper,
                "table": self.published.name,
                "dataset": self.dataset,
                "model": row.label,
                "seeds": row.seeds,
                "features": " + ".join(row.features),
                "figure": cell.column,
                "ours": cell.ours,
                "std": cell.std,
                "published": None if cell.published is None else cell.published.value,
                "published_std": None if cell.published is None else cell.published.std,
                "difference": cell.difference,
                "sigma": cell.sigma,
                "mark": self.mark(row, cell),
                "same_data": not (self.differences or row.difference),
            }
            for row in self.rows
            for cell in row.cells
        ]


@dataclass(frozen=True)
class Reproduction:
    """A published table on every dataset that was given."""

    address: str  # PAPER/TABLE
    tables: tuple[ReproducedTable, ...]
    failures: tuple[str, ...] = ()  # a line for every run that failed

    @cached_property
    def grids(self) -> list[TextGrid]:
        """The printed form of every table."""
        return [table.grid() for table in self.tables]

    def to_markdown(self) -> str:
        """All tables in Markdown."""
        return "\n".join(grid.to_markdown() for grid in self.grids)

    def to_latex(self) -> str:
        """All tables in LaTeX, for the package `booktabs`."""
        return "\n".join(grid.to_latex() for grid in self.grids)

    def to_csv(self) -> str:
        """One line per model and figure, in full precision."""
        records = [line for table in self.tables for line in table.lines()]
        return pl.DataFrame(records, infer_schema_length=None).write_csv()

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """Everything as a JSON object."""
        tables = [
            {
                "dataset": table.dataset,
                "rows": [
                    {"model": row.label, "runs": {str(s): p for s, p in row.runs.items()}, "settings": row.settings}
                    for row in table.rows
                ],
                "figures": table.lines(),
                "left_out": dict(table.left_out),
                "notes": table.notes(),
            }
            for table in self.tables
        ]
        return {"table": self.address, "tables": tables, "failures": list(self.failures)}


def _grouped(texts: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Keys by value, in the order in which values first appear."""
    found: dict[str, list[str]] = {}
    for key, text in texts.items():
        found.setdefault(text or "", []).append(key)
    return found


def _digits(column: str) -> int:
    if "@" in column:
        return 4
    return 2 if "(" in column or "%" in column else 0


def _shown(column: str, value: float) -> str:
    return f"{value:,.{_digits(column)}f}"


def _signed(column: str, value: float) -> str:
    return f"{value:+,.{_digits(column)}f}"
