"""What an evaluation found: each user's values, their means, counts; rounded when printed, never before."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.table import Table

from alignrec.artifacts import write_bytes
from alignrec.errors import UsageError

__all__ = ["Report", "per_user_frame", "report_table", "write_per_user"]


@dataclass(frozen=True)
class Report:
    """The evaluation of one split (or of a segment of one) over n users that have relevant items in it."""

    split: str
    users: NDArray[np.int64]  # (n,) user indices
    values: Mapping[str, NDArray[np.float64]]  # metric -> (n,), the same order
    n_relevant: int  # relevant pairs of these users
    beyond: Mapping[str, float] = field(default_factory=dict)  # see `evaluation.beyond`

    @property
    def n_users(self) -> int:
        """How many users the means are over."""
        return len(self.users)

    @cached_property
    def means(self) -> Mapping[str, float]:
        """Mean over users of each metric, full precision."""
        return {name: float(values.mean()) for name, values in self.values.items()}

    def __getitem__(self, name: str) -> float:
        """The mean of the metric `name`, or its figure beyond accuracy.

        Raises:
            UsageError: this report does not have it.
        """
        figures = {**self.means, **self.beyond}
        if name not in figures:
            raise UsageError(f"the report of {self.split!r} has no {name!r}; it has {', '.join(figures)}")
        return figures[name]

    def as_dict(self) -> dict[str, float | int]:
        """Means, figures beyond accuracy, and the counts `users` and `relevant`, in full precision."""
        return {**self.means, **self.beyond, "users": self.n_users, "relevant": self.n_relevant}

    def per_user(self) -> pl.DataFrame:
        """One row per user: split, user (index), one column per metric."""
        columns = {"user": self.users, **self.values}
        return pl.DataFrame(columns).select(pl.lit(self.split).alias("split"), pl.all())

    def to_parquet(self, path: Path) -> None:
        """Write `per_user` to `path`, atomically."""
        write_per_user(path, [self])

    def __rich__(self) -> Table:
        return report_table([self])


def per_user_frame(reports: Iterable[Report]) -> pl.DataFrame:
    """The per-user rows of several reports under each other; they must have the same metrics."""
    return pl.concat([report.per_user() for report in reports])


def write_per_user(path: Path, reports: Iterable[Report]) -> None:
    """Write the per-user rows of several reports into one Parquet file, atomically."""
    buffer = io.BytesIO()
    per_user_frame(reports).write_parquet(buffer)
    write_bytes(path, buffer.getvalue())


def report_table(reports: Iterable[Report], *, digits: int = 4, title: str | None = None) -> Table:
    """A terminal table: one block of rows per report, one row per kind of figure, one column per cut-off."""
    shown = list(reports)
    cutoffs = sorted({_split_name(name)[1] for report in shown for name in (*report.values, *report.beyond)})
    table = Table("split", "figure", *[f"@{k}" for k in cutoffs], title=title)
    for column in table.columns[2:]:
        column.justify = "right"
    for report in shown:
        figures = {**report.means, **report.beyond}
        for place, kind in enumerate(dict.fromkeys(_split_name(name)[0] for name in figures)):
            label = f"{report.split} ({report.n_users:,} users)" if place == 0 else ""
            cells = [figures.get(f"{kind}@{k}") for k in cutoffs]
            table.add_row(label, kind, *["" if cell is None else f"{cell:.{digits}f}" for cell in cells])
        table.add_section()
    return table


def _split_name(name: str) -> tuple[str, int]:
    kind, _, cutoff = name.partition("@")
    return kind, int(cutoff)
