"""What the three papers and the toolbox they build on print, as typed values: every figure of every table.

The numbers lie beside this module in `published_tables/PAPER.yaml`, with what is known to be inconsistent in them.
Datasets, rows and columns are called as the papers call them; metrics as this library does (recall@20), in 0..1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from alignrec.errors import UsageError

__all__ = [
    "PAPERS",
    "PublishedFigure",
    "PublishedNote",
    "PublishedPaper",
    "PublishedTable",
    "elsewhere",
    "published_paper",
    "published_table",
]

PAPERS = ("cikm24", "fettle", "dream", "mmrec")
_OVERALL = (("cikm24", "table2"), ("fettle", "table2"), ("dream", "table2"), ("mmrec", "readme"))


@dataclass(frozen=True)
class PublishedFigure:
    """A printed number; `std` where the paper gives a standard deviation over runs."""

    value: float
    std: float | None = None


@dataclass(frozen=True)
class PublishedNote:
    """What is known to be wrong or in conflict, and which cells it concerns; None: all of them."""

    text: str
    dataset: str | None = None
    row: str | None = None
    column: str | None = None

    def concerns(self, dataset: str, row: str, column: str | None = None) -> bool:
        """Whether the cell is meant; without a column, whether any cell of the row is."""
        asked = ((self.dataset, dataset), (self.row, row), (self.column, column))
        return all(mine is None or theirs is None or mine == theirs for mine, theirs in asked)


@dataclass(frozen=True)
class PublishedTable:
    """One table of a paper."""

    paper: str  # key, as in PAPERS
    name: str
    source: str
    title: str
    columns: tuple[str, ...]
    figures: Mapping[str, Mapping[str, Mapping[str, PublishedFigure]]]  # dataset -> row -> column -> number
    notes: tuple[PublishedNote, ...]

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the datasets, as the paper writes them."""
        return tuple(self.figures)

    def rows(self, dataset: str) -> tuple[str, ...]:
        """Labels of the rows on that dataset."""
        return tuple(self.figures[dataset])

    def figure(self, dataset: str, row: str, column: str) -> PublishedFigure | None:
        """The number in a cell; None where the paper has none."""
        return self.figures.get(dataset, {}).get(row, {}).get(column)

    def notes_on(self, dataset: str, row: str, column: str | None = None) -> tuple[PublishedNote, ...]:
        """What is known about the cell (or the row), notes about the whole table left out."""
        bound = (note for note in self.notes if note.row or note.dataset or note.column)
        return tuple(note for note in bound if note.concerns(dataset, row, column))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Notes about the whole table."""
        return tuple(note.text for note in self.notes if not (note.row or note.dataset or note.column))


@dataclass(frozen=True)
class PublishedPaper:
    """A paper with its tables by name."""

    key: str
    name: str
    title: str
    venue: str
    tables: Mapping[str, PublishedTable]
    settings: Mapping[str, Any]  # Any: hyper-parameters as the paper names them: numbers, words, lists of numbers


@cache
def published_paper(key: str) -> PublishedPaper:
    """The paper called `key`.

    Raises:
        UsageError: there is none.
    """
    if key not in PAPERS:
        raise UsageError(f"no published numbers of {key!r}; there are: {', '.join(PAPERS)}")
    # beside this module; `published_tables` without __init__.py is data, not a package
    text = (files("alignrec.studies.reproduction") / "published_tables" / f"{key}.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    tables = {name: _table(key, name, entry) for name, entry in content["tables"].items()}
    about = (content["paper"], content["title"], content["venue"])
    return PublishedPaper(key, *about, tables, content.get("settings", {}))


def published_table(paper: str, table: str) -> PublishedTable:
    """The table `table` of `paper`.

    Raises:
        UsageError: there is none.
    """
    tables = published_paper(paper).tables
    if table not in tables:
        raise UsageError(f"no table {table!r} of {paper} has numbers; there are: {', '.join(tables)}")
    return tables[table]


def elsewhere(dataset: str, model: str, column: str) -> dict[str, float]:
    """The same cell in the overall tables of all papers, by paper; empty where all that have it agree."""
    found = {
        paper: figure.value
        for paper, table in _OVERALL
        if (figure := published_table(paper, table).figure(dataset, model, column)) is not None
    }
    return found if len(set(found.values())) > 1 else {}


def _table(paper: str, name: str, entry: Mapping[str, Any]) -> PublishedTable:
    columns, spreads = tuple(entry["columns"]), entry.get("std", {})
    figures = {
        dataset: {
            row: _row(columns, values, spreads.get(dataset, {}).get(row, [None] * len(columns)))
            for row, values in rows.items()
        }
        for dataset, rows in entry["rows"].items()
    }
    notes = tuple(PublishedNote(**note) for note in entry.get("notes", []))
    return PublishedTable(paper, name, entry["source"], entry["title"], columns, figures, notes)


def _row(
    columns: Sequence[str], values: Sequence[float | None], spreads: Sequence[float | None]
) -> dict[str, PublishedFigure]:
    cells = zip(columns, values, spreads, strict=True)
    return {column: PublishedFigure(value, std) for column, value, std in cells if value is not None}
