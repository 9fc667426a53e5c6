"""Who is served how well: items of the long tail and the others, users by how much is known of them, as bars.

AlignRec, Figure 5 and section 5.5, looks at test items with fewer than four training interactions. The numbers are
those of `alignrec study segments`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from alignrec.errors import UsageError
from alignrec.evaluation.segments import LONG_TAIL
from alignrec.studies.figures.run_names import checked_names, open_runs
from alignrec.studies.figures.style import COLUMN, PAGE, colour, hatch, house_style, panels, shared_legend
from alignrec.studies.segment_table import DEFAULT_SEGMENTED, segment_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

__all__ = ["draw_long_tail", "read_long_tail"]

_BY = {"item": "training interactions\nof the item", "user": "training interactions\nof the user"}


def read_long_tail(
    runs: Sequence[str | Path],
    *,
    metrics: Sequence[str] = DEFAULT_SEGMENTED,
    long_tail: int = LONG_TAIL,
    labels: Sequence[str] = (),
    dataset: str | Path | None = None,
) -> pl.DataFrame:
    """Rank with each run again and measure the segments; runs that differ only in their seed are one bar.

    Args:
        runs: folders of evaluated runs on one dataset; what was not evaluated keeps its test split closed.
        metrics: such as `recall@20`.
        long_tail: training interactions from which on an item is no longer in the long tail.
        labels: what to call the bars, one for each model in the order in which their runs are named.
        dataset: folder of the dataset, if it has moved.

    Returns:
        One row per number: run, by (`item` or `user`), segment (its training interactions), metric, mean, std (sample
        standard deviation over seeds; null with one), seeds, users (how many the mean is over).

    Raises:
        UsageError: no run, runs on several datasets, an unknown metric, or labels that do not fit.
        ArtifactError: a run that is not finished or not evaluated, or whose dataset is not where it was.
    """
    datasets = {run.plan.dataset["hash"]: run.plan.dataset["name"] for run in open_runs(runs)}
    if len(datasets) > 1:
        there = ", ".join(datasets.values())
        raise UsageError(f"the runs are on different datasets ({there}), whose users differ; give runs on one")
    (table,) = segment_tables(runs, metrics=metrics, long_tail=long_tail, dataset=dataset)
    found = list(dict.fromkeys(row.label for row in table.rows))
    said = dict(zip(found, checked_names(labels, len(found), "model") if labels else found, strict=True))
    rows = []
    for row in table.rows:
        if (told := _told(row.segment, long_tail)) is not None:
            about = (said[row.label], *told)
            rows += [(*about, name, row.means[name], row.stds[name], row.seeds, row.users) for name in table.metrics]
    schema = {"run": pl.String, "by": pl.String, "segment": pl.String, "metric": pl.String, "mean": pl.Float64}
    return pl.DataFrame(rows, schema=schema | {"std": pl.Float64, "seeds": pl.Int64, "users": pl.Int64}, orient="row")


def _told(segment: str, long_tail: int) -> tuple[str, str] | None:
    """By whose training interactions a segment is made, and how many those are; None of everybody."""
    of_items = {
        "cold items": "0",
        f"long-tail items (<{long_tail})": f"< {long_tail}",
        "other items": f"≥ {long_tail}",
    }
    if segment in of_items:
        return "item", of_items[segment]
    of_users = re.fullmatch(r"users (\d+)(?:-(\d+)|(\+))?", segment)
    if of_users is None:
        return None
    low, high, more = of_users.groups()
    return "user", f"{low}–{high}" if high else low + (more or "")


def draw_long_tail(numbers: pl.DataFrame) -> "Figure":
    """Draw what `read_long_tail` gives: a row of panels a metric, items left, users right, a bar a run.

    The number of users a group of bars is over stands above it; the thin line is one standard deviation over seeds.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    runs = numbers["run"].unique(maintain_order=True).to_list()
    sides = numbers["by"].unique(maintain_order=True).to_list()
    shown = [(metric, by) for metric in numbers["metric"].unique(maintain_order=True) for by in sides]
    width = COLUMN if len(runs) <= 3 else PAGE
    with house_style():
        figure, axes = panels(len(shown), per_row=len(sides), width=width, height=4.2)
        bars: list[Patch] = []
        for panel, (metric, by) in zip(axes, shown, strict=True):
            bars = _bars(panel, numbers.filter(metric=metric, by=by), runs)
            panel.set(xlabel=_BY[by], ylabel=metric)
        shared_legend(figure, bars, runs)
    return figure


def _bars(panel: "Axes", numbers: pl.DataFrame, runs: Sequence[str]) -> "list[Patch]":
    segments = numbers["segment"].unique(maintain_order=True).to_list()
    wide = 0.8 / len(runs)
    found: list[Patch] = []
    tops = np.zeros(len(segments))
    for place, run in enumerate(runs):
        of_run = numbers.filter(run=run)
        heights, spread = of_run["mean"].to_numpy(), of_run["std"].fill_null(0.0).to_numpy()
        at = np.arange(len(segments)) + (place - (len(runs) - 1) / 2) * wide
        drawn = panel.bar(at, heights, wide, color=colour(place), hatch=hatch(place), edgecolor="white", linewidth=0)
        found.append(drawn.patches[0])
        if spread.any():
            panel.errorbar(at, heights, yerr=spread, color="0.2", elinewidth=0.7, linestyle="none")
        tops = np.maximum(tops, heights + spread)
    users = numbers.filter(run=runs[0])["users"].to_list()
    for middle, (top, count) in enumerate(zip(tops, users, strict=True)):
        panel.annotate(
            f"{count:,}", (middle, top), (0, 2), textcoords="offset points", ha="center", fontsize=7, color="0.3"
        )
    panel.set_xticks(range(len(segments)), segments)
    panel.set_ylim(0, tops.max() * 1.15 if tops.any() else 1.0)
    return found
