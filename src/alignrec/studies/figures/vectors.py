"""Two views of the same things in one plane, pairs joined: how near alignment has brought them.

AlignRec, Figure 4 (content and id vectors of items); DREAM, Figures 7 and 10 (behaviour and modal line); FETTLE,
Figures 5 and 6 (modalities of items; users and the items they took). The plane is t-SNE's (van der Maaten and
Hinton, 2008) of vectors scaled to unit length, so that it shows what the cosine measures; where points lie has no
meaning beyond who is near whom. The mean cosine is over all pairs, the plane shows a sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from alignrec.artifacts import read_arrays
from alignrec.errors import UsageError
from alignrec.features.table import unit_rows
from alignrec.runtime import derive_seed, numpy_rng
from alignrec.studies.figures.run_names import name_runs, open_runs
from alignrec.studies.figures.style import COLUMN, PAGE, colour, house_style, line_sample, marker, panels
from alignrec.studies.run_folder import Run
from alignrec.types import FloatMatrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DEFAULT_VIEWS", "VectorSample", "draw_vectors", "mean_cosine", "read_vectors"]

DEFAULT_VIEWS = ("content.items", "behaviour.items")
_FEWEST = 5  # pairs; fewer make no neighbourhoods
_PERPLEXITY = 30.0


@dataclass(frozen=True)
class VectorSample:
    """What a picture of vectors shows."""

    points: pl.DataFrame
    """One row per point: run, pair (0 to N − 1), view, row (index of the item or user), x, y."""
    cosines: pl.DataFrame
    """One row per run and view after the first: run, first, view, mean_cosine, pairs (those it is the mean of)."""

    @property
    def numbers(self) -> pl.DataFrame:
        """One table: the points, each with the mean cosine of its view with the first (null for the first itself)."""
        return self.points.join(
            self.cosines.select("run", "view", "mean_cosine"), on=["run", "view"], how="left", maintain_order="left"
        )


def read_vectors(
    runs: Sequence[str | Path],
    *,
    views: Sequence[str] = DEFAULT_VIEWS,
    sample: int = 500,
    seed: int = 0,
    labels: Sequence[str] = (),
    dataset: str | Path | None = None,
) -> VectorSample:
    """Sample pairs of every run and lay them out in a plane.

    Args:
        runs: folders of finished runs.
        views: two to four of what `representations.safetensors` holds, as `content.items`. Views of one side pair an
            item (or user) with itself; `users` with `items` pair along training interactions. The first is compared
            with each of the others.
        sample: most pairs to draw; runs on one dataset draw the same ones.
        seed: of the sample and of t-SNE.
        labels: what to call the runs.
        dataset: folder of the dataset, if it has moved; needed only for users with items.

    Raises:
        UsageError: views that a run does not have or that do not fit together, or too small a sample.
        ArtifactError: no finished run, or its dataset is not where it was.
    """
    _check_views(views, sample)
    opened = open_runs(runs)
    points, cosines = [], []
    for name, run in zip(name_runs(opened, labels), opened, strict=True):
        tables = _tables(run, views)
        rows = _pairs(run, views, tables, dataset)
        units = [unit_rows(table) for table in tables]
        for view, table, numbers in zip(views[1:], units[1:], rows[1:], strict=True):
            cosines.append((name, views[0], view, mean_cosine(units[0], table, rows[0], numbers), len(numbers)))
        rng = numpy_rng(seed, "vectors")
        chosen = np.sort(rng.permutation(len(rows[0]))[:sample])
        shown = [numbers[chosen] for numbers in rows]
        for view, numbers, xy in zip(views, shown, _places(units, shown, seed), strict=True):
            points.append(_frame(name, view, numbers, xy))
    schema = ["run", "first", "view", "mean_cosine", "pairs"]
    return VectorSample(pl.concat(points), pl.DataFrame(cosines, schema=schema, orient="row"))


def mean_cosine(
    first: FloatMatrix, second: FloatMatrix, first_rows: NDArray[np.int64], second_rows: NDArray[np.int64]
) -> float:
    """Mean over pairs p of the dot product of `first[first_rows[p]]` and `second[second_rows[p]]`, of unit length."""
    total, step = 0.0, 1 << 16
    for start in range(0, len(first_rows), step):
        part = slice(start, start + step)
        total += float(np.einsum("nd,nd->", first[first_rows[part]], second[second_rows[part]], dtype=np.float64))
    return total / len(first_rows)


def _check_views(views: Sequence[str], sample: int) -> None:
    if not 2 <= len(views) <= 4 or len(set(views)) != len(views):
        raise UsageError(f"a picture shows two to four different views, not {', '.join(views) or 'none'}")
    if sample < _FEWEST:
        raise UsageError(f"a sample of {sample} shows no neighbourhoods; draw at least {_FEWEST}")


def _tables(run: Run, views: Sequence[str]) -> list[FloatMatrix]:
    arrays = read_arrays(run.path / "representations.safetensors")
    for view in views:
        if view not in arrays:
            raise UsageError(f"{run.path} has no vectors {view!r}; there are: {', '.join(sorted(arrays))}")
    widths = {view: arrays[view].shape[1] for view in views}
    if len(set(widths.values())) > 1:
        said = ", ".join(f"{view} {width}" for view, width in widths.items())
        raise UsageError(f"vectors of different length cannot be compared: {said} in {run.path}; choose other views")
    return [arrays[view] for view in views]


def _pairs(
    run: Run, views: Sequence[str], tables: Sequence[FloatMatrix], dataset: str | Path | None
) -> list[NDArray[np.int64]]:
    """For every view the row of each pair, (P,); pairs with a vector of zeros are left out: it has no direction."""
    sides = [view.rpartition(".")[2] for view in views]
    if len(set(sides)) == 1:
        rows = [np.arange(len(tables[0]))] * len(views)
    else:
        train = run.dataset(dataset).split("train").tocoo()
        of = {"users": train.row.astype(np.int64), "items": train.col.astype(np.int64)}
        rows = [of[side] for side in sides]
    known = np.ones(len(rows[0]), dtype=np.bool_)
    for table, numbers in zip(tables, rows, strict=True):
        known &= np.any(table, axis=1)[numbers]
    if known.sum() < _FEWEST:
        raise UsageError(f"{run.path} has {known.sum()} pairs of {', '.join(views)}; at least {_FEWEST} can be shown")
    return [numbers[known] for numbers in rows]


def _places(units: Sequence[FloatMatrix], rows: Sequence[NDArray[np.int64]], seed: int) -> list[NDArray[np.float32]]:
    """For every view the place of each pair, (P, 2). A user of several pairs is one point, not a cluster of copies."""
    shown = [np.unique(numbers, return_inverse=True) for numbers in rows]
    plane = _plane(np.concatenate([unit[which] for unit, (which, _) in zip(units, shown, strict=True)]), seed)
    starts = np.cumsum([len(which) for which, _ in shown])[:-1]
    return [part[back] for part, (_, back) in zip(np.split(plane, starts), shown, strict=True)]


def _plane(vectors: FloatMatrix, seed: int) -> NDArray[np.float32]:
    """t-SNE (n, 2) of unit rows; one thread, as sums of several come in any order."""
    from sklearn.manifold import TSNE  # slow to import
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    layout = TSNE(perplexity=perplexity, init="pca", random_state=derive_seed(seed, "t-sne") % 2**32)
    with threadpool_limits(1):
        return np.asarray(layout.fit_transform(vectors), dtype=np.float32)


def _frame(run: str, view: str, rows: NDArray[np.int64], xy: NDArray[np.float32]) -> pl.DataFrame:
    columns = {"pair": np.arange(len(rows)), "view": [view] * len(rows), "row": rows, "x": xy[:, 0], "y": xy[:, 1]}
    return pl.DataFrame({"run": [run] * len(rows), **columns})


def draw_vectors(sample: VectorSample) -> "Figure":
    """Draw what `read_vectors` gives: a panel a run, a colour a view, a thin line between the two of a pair.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    runs = sample.points["run"].unique(maintain_order=True).to_list()
    with house_style():
        columns = min(len(runs), 3)
        width = COLUMN if columns == 1 else PAGE
        words = 2 * sample.points["view"].n_unique() - 1  # lines of a legend
        height = min(width / columns, 7.0) + 0.37 * words + 0.6  # a square plane, its name and legend below
        figure, axes = panels(len(runs), per_row=columns, width=width, height=height)
        for panel, run in zip(axes, runs, strict=True):
            _panel(panel, sample.points.filter(run=run), sample.cosines.filter(run=run))
            panel.set_xlabel(run)
    return figure


def _panel(panel: "Axes", points: pl.DataFrame, cosines: pl.DataFrame) -> None:
    from matplotlib.collections import LineCollection

    views = points["view"].unique(maintain_order=True).to_list()
    places = {view: points.filter(view=view).select("x", "y").to_numpy() for view in views}
    said = dict(cosines.select("view", "mean_cosine").iter_rows())
    for view in views[1:]:
        ends = np.stack([places[views[0]], places[view]], axis=1)  # (N, 2, 2)
        panel.add_collection(LineCollection(list(ends), colors="0.7", linewidths=0.25, zorder=1))
    handles = []
    for place, view in enumerate(views):
        handles += panel.plot(
            *places[view].T,
            color=colour(place),
            marker=marker(place),
            linestyle="none",
            markersize=2.0,
            markeredgewidth=0,
            zorder=2,
        )
    told = [f"pairs: mean cosine {said[view]:.2f}" for view in views[1:]]
    if len(told) > 1:
        told = [f"{views[0]} to {view}: mean cosine {said[view]:.2f}" for view in views[1:]]
    panel.set(xticks=[], yticks=[])
    panel.set_aspect("equal", adjustable="datalim")
    panel.spines[:].set_visible(False)
    lines = [line_sample("0.6") for _ in told]
    panel.legend([*handles, *lines], [*views, *told], loc="upper center", bbox_to_anchor=(0.5, -0.1), markerscale=2)
