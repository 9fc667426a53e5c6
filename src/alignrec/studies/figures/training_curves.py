"""How runs trained: every term of the loss, and the validation metrics, by epoch. A panel a term, a line a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from alignrec.errors import UsageError
from alignrec.studies.figures.run_names import name_runs, open_runs
from alignrec.studies.figures.style import (
    COLUMN,
    PAGE,
    colour,
    house_style,
    line_style,
    panels,
    shared_legend,
    whole_ticks,
)
from alignrec.studies.figures.traces import read_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["draw_training_curves", "read_training_curves"]

_SCHEMA = {"run": pl.String, "part": pl.String, "term": pl.String, "epoch": pl.Int64, "value": pl.Float64}
_NARROW = 4  # panels that still fit into a column, two in a row


def read_training_curves(
    runs: Sequence[str | Path], *, labels: Sequence[str] = (), terms: Sequence[str] = ()
) -> pl.DataFrame:
    """The curves of runs that are finished or still in training.

    Args:
        runs: their folders.
        labels: what to call them; by default model, features, plug-ins and what tells the runs apart.
        terms: loss terms and metrics to keep, such as `total` or `recall@20`; all by default.

    Returns:
        One row per number: run, part (`valid` or `loss`), term, epoch, value. Metrics come first, the total loss next.

    Raises:
        ArtifactError: a folder without a run, or a log that cannot be read.
        UsageError: nothing to draw yet, a term that no run has, or labels that do not fit.
    """
    opened = open_runs(runs, finished=False)
    rows = []
    for name, run in zip(name_runs(opened, labels), opened, strict=True):
        for line in read_lines(run.path / "metrics.jsonl"):
            for part in ("valid", "loss"):
                rows += [(name, part, term, line["epoch"], value) for term, value in line.get(part, {}).items()]
    frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    if frame.is_empty():
        raise UsageError("there is nothing to draw yet; the first line of a run's log comes after its first epoch")
    there = frame["term"].unique(maintain_order=True).to_list()
    unknown = [term for term in terms if term not in there]
    if unknown:
        raise UsageError(f"no run has a term {unknown[0]!r}; there are: {', '.join(there)}")
    first = pl.struct((pl.col("part") == "loss"), (pl.col("term") != "total") & (pl.col("part") == "loss"))
    kept = frame.filter(pl.col("term").is_in(list(terms))) if terms else frame
    return kept.sort(first, maintain_order=True)


def draw_training_curves(curves: pl.DataFrame) -> "Figure":
    """Draw what `read_training_curves` gives. The dot marks the best epoch of the run by each metric.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    terms = curves.select("part", "term").unique(maintain_order=True).rows()
    runs = curves["run"].unique(maintain_order=True).to_list()
    wide = len(terms) > _NARROW
    last = int(curves.select(pl.col("epoch").max()).item())
    handles: dict[str, Line2D] = {}
    with house_style():
        figure, axes = panels(len(terms), per_row=4 if wide else 2, width=PAGE if wide else COLUMN, height=3.6)
        for panel, (part, term) in zip(axes, terms, strict=True):
            for place, run in enumerate(runs):
                points = curves.filter(run=run, part=part, term=term)
                if not points.is_empty():
                    handles[run] = _curve(panel, points, place)
            said = f"{term}\n(validation)" if part == "valid" else f"{term}\n(loss)"
            panel.set(xlabel="epoch", ylabel=said, xlim=(0, 1.02 * last))
            whole_ticks(panel)
        shared_legend(figure, [handles[run] for run in runs], runs)
    return figure


def _curve(panel: "Axes", points: pl.DataFrame, place: int) -> "Line2D":
    epochs, values = points["epoch"].to_numpy(), points["value"].to_numpy()
    (line,) = panel.plot(epochs, values, color=colour(place), linestyle=line_style(place))
    if points["part"][0] == "valid":
        best = int(values.argmax())
        panel.plot(epochs[best], values[best], marker="o", color=colour(place), linestyle="none")
    return line
