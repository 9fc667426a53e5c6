"""How much of the features a model forgets as it trains (DREAM, Zhang et al., arXiv 2404.11119, Figure 1b), by epoch.

Two measures, both of all items with features:

    distance   1 − mean cos(F_i, F⁰_i), of a feature table F that is trained, from what it was at first. The paper's.
    kept       Pearson's r between the cosines of pairs of items by learned vectors and by the original features: 1 says
               that all similarities are still there, 0 that none is. For models whose features are fixed, or whose
               vectors have another width; what DREAM's S3 and AlignRec's REG hold on to.

Pairs are all those among 500 items drawn once, the same for every run on a dataset. A view that mixes modalities is
compared with the mean of their cosines.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alignrec.errors import ArtifactError, UsageError
from alignrec.models import Backbone
from alignrec.models.projection import FeatureProjection, FeatureProjections
from alignrec.runtime import numpy_rng
from alignrec.studies.figures.run_names import name_runs, open_runs
from alignrec.studies.figures.style import (
    COLUMN,
    LINE_STYLES,
    PAGE,
    colour,
    house_style,
    line_sample,
    panels,
    repeat_marker,
    shared_legend,
    whole_ticks,
)
from alignrec.studies.figures.traces import TraceRecorder, read_lines, represented
from alignrec.training import Objective
from alignrec.types import FloatMatrix, TrainData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "FORGETTING_FILE",
    "draw_forgetting",
    "feature_distances",
    "forgetting_recorder",
    "read_forgetting",
    "similarity_kept",
]

FORGETTING_FILE = "forgetting.jsonl"
_SAMPLE = 500  # items, whose 124,750 pairs are compared
_VIEWS = ("final", "behaviour", "content")


def forgetting_recorder(data: TrainData, folder: Path) -> TraceRecorder:
    """An observer of training that writes `forgetting.jsonl` into the run folder `folder`.

    Args:
        data: what the run trains on.
        folder: of the run.

    Raises:
        UsageError: it trains without features.
    """
    if not data.features:
        raise UsageError("without features there is nothing to forget; train with --features NAME")
    usable = np.flatnonzero(np.all([table.any(axis=1) for table in data.features.values()], axis=0))
    rng = numpy_rng(0, "forgetting")
    items = np.sort(rng.permutation(usable)[:_SAMPLE])
    targets = {name: _cosines(table[items]) for name, table in data.features.items()}
    mixed = np.mean(list(targets.values()), axis=0)

    def measure(objective: Objective) -> dict[str, Any]:  # Any: JSON values
        reps = represented(objective)
        views = {"final": reps.final, **{name: reps.views[name] for name in reps.views}}
        tables = {name: (views[name].items, mixed) for name in _VIEWS if name in views}
        tables |= {f"content.{name}": (reps.content[name], targets.get(name, mixed)) for name in reps.content}
        kept = {name: similarity_kept(_rows(table, items), target) for name, (table, target) in tables.items()}
        return {"distance": feature_distances(objective.backbone, data.features), "kept": kept}

    return TraceRecorder(folder / FORGETTING_FILE, measure)


def feature_distances(backbone: Backbone[Any], features: Mapping[str, FloatMatrix]) -> dict[str, float]:
    """Modality -> 1 − mean cosine of its trained features with what they were; empty if the model trains none.

    Items without features (rows of zeros) are left out. In a table that joins several modalities each is judged apart,
    by its own columns.

    Args:
        backbone: any.
        features: modality -> (I, d_m), as they were given.
    """
    found = {}
    for names, table in _trained_tables(backbone, tuple(features)):
        columns = np.cumsum([0, *(features[name].shape[1] for name in names)])
        trained = table.detach().cpu().numpy()
        for name, start, stop in zip(names, columns, columns[1:], strict=False):
            found[name] = _distance(trained[:, start:stop], features[name])
    return found


def _trained_tables(backbone: Backbone[Any], names: tuple[str, ...]) -> list[tuple[tuple[str, ...], Tensor]]:
    """Feature tables among the parameters, each with the modalities whose columns it has, in their order."""
    owners = [module for module in backbone.modules() if isinstance(module, FeatureProjections)]
    parts = [(name, part) for owner in owners for name, part in zip(owner.names, owner.of, strict=True)]
    alone = [module for module in backbone.children() if isinstance(module, FeatureProjection)]
    tables: list[tuple[tuple[str, ...], Tensor]]
    tables = [((name,), part.table) for name, part in parts if isinstance(part, FeatureProjection)]
    tables += [(names, part.table) for part in alone]
    return [(of, table) for of, table in tables if isinstance(table, nn.Parameter)]


def _distance(trained: NDArray[np.floating[Any]], original: FloatMatrix) -> float:
    norms = np.linalg.norm(trained, axis=1) * np.linalg.norm(original, axis=1)  # (I,)
    dots = np.einsum("id,id->i", trained, original, dtype=np.float64)
    return float(1.0 - np.mean(dots[norms > 0] / norms[norms > 0]))


def similarity_kept(vectors: NDArray[np.floating[Any]], target: NDArray[np.float64]) -> float | None:
    """Pearson's r over all pairs of rows between cosines of `vectors` (n, d) and `target` (n, n).

    None where r does not exist: fewer than three rows, or all cosines on one side alike.
    """
    upper = np.triu_indices(len(vectors), k=1)
    ours, theirs = _cosines(vectors)[upper], target[upper]
    if len(vectors) < 3 or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return None
    return float(np.corrcoef(ours, theirs)[0, 1])


def _cosines(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    rows = vectors.astype(np.float64)
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return np.asarray(unit @ unit.T)


def _rows(table: Tensor, items: NDArray[np.int64]) -> NDArray[np.float32]:
    with torch.no_grad():
        return table[torch.from_numpy(items).to(table.device)].cpu().numpy()


def read_forgetting(runs: Sequence[str | Path], *, labels: Sequence[str] = ()) -> pl.DataFrame:
    """What was recorded while the runs trained.

    Args:
        runs: folders of runs with features.
        labels: what to call them.

    Returns:
        One row per number: run, epoch, measure (`distance` or `kept`), of (a modality or a view), value.

    Raises:
        ArtifactError: no finished run, or one in which nothing was recorded.
        UsageError: a run without features, or labels that do not fit.
    """
    opened = open_runs(runs)
    rows = []
    for name, run in zip(name_runs(opened, labels), opened, strict=True):
        if not run.plan.features:
            raise UsageError(f"{run.path} was trained without features and has none to forget; name runs with features")
        if not (run.path / FORGETTING_FILE).is_file():
            raise ArtifactError(
                f"{run.path} has no {FORGETTING_FILE}; add --train-again to train it a second time and record it"
            )
        for line in read_lines(run.path / FORGETTING_FILE):
            for measure in ("distance", "kept"):
                rows += [(name, line["epoch"], measure, of, value) for of, value in line[measure].items()]
    schema = {"run": pl.String, "epoch": pl.Int64, "measure": pl.String, "of": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def draw_forgetting(forgetting: pl.DataFrame, *, views: Sequence[str] = ("content", "final")) -> "Figure":
    """Draw what `read_forgetting` gives: distances in one panel, similarities kept in one per view; a colour a run.

    Args:
        forgetting: the numbers.
        views: which learned vectors to show similarities of, as far as a run has them.

    Raises:
        UsageError: no run has any of the views.
        MissingExtraError: matplotlib is not installed.
    """
    there = forgetting.filter(measure="kept")["of"].unique(maintain_order=True).to_list()
    shown = [view for view in views if view in there]
    if not shown:
        raise UsageError(f"no run has a view {', '.join(views) or '(none named)'}; there are: {', '.join(there)}")
    modalities = forgetting.filter(measure="distance")["of"].unique(maintain_order=True).to_list()
    parts = [("distance", modalities)] if modalities else []
    parts += [("kept", [view]) for view in shown]
    runs = forgetting["run"].unique(maintain_order=True).to_list()
    width = COLUMN if len(parts) < 3 else PAGE
    with house_style():
        figure, axes = panels(len(parts), per_row=3, width=width, height=4.4)
        for panel, (measure, names) in zip(axes, parts, strict=True):
            _lines(panel, forgetting.filter(measure=measure), names, runs)
            said = "cosine distance\nof features" if measure == "distance" else f"similarity kept\nby {names[0]} (r)"
            panel.set(xlabel="epoch", ylabel=said)
            whole_ticks(panel)
        handles = {run: line_sample(colour(place), mark=repeat_marker(place)) for place, run in enumerate(runs)}
        if len(modalities) > 1:
            handles |= {
                f"distance: {name}": line_sample("0.3", LINE_STYLES[at % len(LINE_STYLES)])
                for at, name in enumerate(modalities)
            }
        shared_legend(figure, list(handles.values()), list(handles))
    return figure


def _lines(panel: "Axes", numbers: pl.DataFrame, names: Sequence[str], runs: Sequence[str]) -> None:
    for at, name in enumerate(names):
        for place, run in enumerate(runs):
            points = numbers.filter(run=run, of=name).drop_nulls()
            panel.plot(
                points["epoch"],
                points["value"],
                color=colour(place),
                linestyle=LINE_STYLES[at % len(LINE_STYLES)],
                marker=repeat_marker(place),
                markevery=0.15,  # of the panel's diagonal
            )
