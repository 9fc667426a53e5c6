"""Which way FETTLE aligns: for each pair of modalities the share of items that are pulled either way, by epoch.

FETTLE (Li et al., SIGIR 2024, sec. 3.1) pulls an item's modality m toward n where users' estimated feedback on m is the
lower one, s^m < s^n (eq. 2 and 5). It decides anew in every batch, from the batch's interactions; what is counted here
is its decision by the weights at the end of an epoch and all training interactions, for the items that have any. The
first modality, `id`, are the vectors that are scored.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from alignrec.errors import ArtifactError, UsageError
from alignrec.graphs import mean_interactions
from alignrec.losses.fettle import Fettle
from alignrec.losses.item_alignment import alignment_directions
from alignrec.ops import SparseOperator, spmm, unit_rows
from alignrec.studies.figures.run_names import name_runs, open_runs
from alignrec.studies.figures.style import COLUMN, PAGE, colour, house_style, panels, shared_legend, whole_ticks
from alignrec.studies.figures.traces import TraceRecorder, read_lines, represented
from alignrec.training import Objective
from alignrec.types import Batch, TrainData

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = [
    "DIRECTIONS_FILE",
    "NO_FETTLE",
    "direction_recorder",
    "direction_shares",
    "draw_directions",
    "read_directions",
]

DIRECTIONS_FILE = "directions.jsonl"
NO_FETTLE = "directions are those of FETTLE, which this run does not have; train it with --plugin fettle"
_IDS = "id"


def direction_recorder(data: TrainData, folder: Path) -> TraceRecorder:
    """An observer of training that writes `directions.jsonl` into the run folder `folder`.

    Args:
        data: what the run trains on.
        folder: of the run.
    """
    taken_by = mean_interactions(data.interactions.T.tocsr())  # (I, U): times users, the mean of an item's users

    def measure(objective: Objective) -> dict[str, Any]:  # Any: JSON values
        shares = direction_shares(objective, data, taken_by)
        return {"directions": [{"source": m, "target": n, "share": share} for (m, n), share in shares.items()]}

    return TraceRecorder(folder / DIRECTIONS_FILE, measure)


def direction_shares(
    objective: Objective, data: TrainData, taken_by: SparseOperator | None = None
) -> dict[tuple[str, str], float]:
    """(source, target) -> share of the items with a training interaction whose source is pulled toward the target.

    Shares of the two ways of a pair sum to 1 where no item has equal feedback on both, unless FETTLE's
    `direction` says otherwise: `topmost` leaves pairs out, `bidirectional` counts items on both sides.

    Args:
        objective: backbone with the plug-in `fettle`.
        data: what is trained on.
        taken_by: (I, U) mean over each item's users, if it was made before.

    Raises:
        UsageError: there is no plug-in `fettle`.
    """
    plugin = dict(objective.plugins.items()).get("fettle")
    if not isinstance(plugin, Fettle):
        raise UsageError(NO_FETTLE)
    operator = mean_interactions(data.interactions.T.tocsr()) if taken_by is None else taken_by
    reps = represented(objective)
    with torch.no_grad():
        if objective.completion is not None:
            reps, _ = objective.completion(reps, _everything(data, reps.final.items.device))
        tables = [reps.final.items, *(reps.content[name] for name in plugin.modalities)]
        users = reps.final.users
        if plugin.config.feedback == "cosine":
            tables = [unit_rows(table) for table in tables]
            users = unit_rows(users)
        mean_users = spmm(operator.to(users.device), users)  # (I, d)
        known = torch.from_numpy(np.unique(data.interactions.indices).astype(np.int64)).to(users.device)
        scores = torch.stack([(mean_users * table).sum(dim=1)[known] for table in tables])  # (M, Q)
        found = alignment_directions(scores, plugin.config.direction, plugin.config.threshold)
    names = (_IDS, *plugin.modalities)
    return {(names[way.source], names[way.target]): len(way.items) / len(known) for way in found}


def _everything(data: TrainData, device: torch.device) -> Batch:
    """A batch that names every user and every item, so that what is restricted to it is whole."""
    rows = torch.arange(max(data.n_users, data.n_items), device=device)
    items = rows % data.n_items
    return Batch(rows % data.n_users, items, items)


def read_directions(runs: Sequence[str | Path], *, labels: Sequence[str] = ()) -> pl.DataFrame:
    """The directions that were recorded while the runs trained.

    Args:
        runs: folders of runs with the plug-in `fettle`.
        labels: what to call them.

    Returns:
        One row per number: run, epoch, source, target, share (0..1, of the items with a training interaction).

    Raises:
        ArtifactError: no finished run, or one whose directions were not recorded.
        UsageError: a run without the plug-in, or labels that do not fit.
    """
    opened = open_runs(runs)
    rows = []
    for name, run in zip(name_runs(opened, labels), opened, strict=True):
        if "fettle" not in run.plan.plugins:
            raise UsageError(f"{run.path} was trained without FETTLE and has no directions; train with --plugin fettle")
        if not (run.path / DIRECTIONS_FILE).is_file():
            raise ArtifactError(
                f"{run.path} has no {DIRECTIONS_FILE}; add --train-again to train it a second time and record it"
            )
        for line in read_lines(run.path / DIRECTIONS_FILE):
            rows += [(name, line["epoch"], way["source"], way["target"], way["share"]) for way in line["directions"]]
    schema = {"run": pl.String, "epoch": pl.Int64, "source": pl.String, "target": pl.String, "share": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def draw_directions(directions: pl.DataFrame) -> "Figure":
    """Draw what `read_directions` gives: a panel a run, a colour a pair of modalities; dashed is the way back.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    ways = directions.select("source", "target").unique(maintain_order=True).rows()
    pairs = [way for number, way in enumerate(ways) if way[::-1] not in ways[:number]]
    runs = directions["run"].unique(maintain_order=True).to_list()
    with house_style():
        figure, axes = panels(
            len(runs), per_row=min(len(runs), 3), width=COLUMN if len(runs) == 1 else PAGE, height=5.0
        )
        handles: dict[str, Line2D] = {}
        for panel, run in zip(axes, runs, strict=True):
            for source, target in sorted(ways, key=lambda way: pairs.index(way if way in pairs else way[::-1])):
                points = directions.filter(run=run, source=source, target=target)
                back = (source, target) not in pairs
                place = pairs.index((target, source) if back else (source, target))
                (line,) = panel.plot(
                    points["epoch"], points["share"], color=colour(place), linestyle="--" if back else "-"
                )
                handles.setdefault(f"{source} → {target}", line)
            panel.set(xlabel="epoch" if len(runs) == 1 else f"epoch\n{run}", ylim=(-0.02, 1.02))
            whole_ticks(panel)
        axes[0].set_ylabel("share of items")
        shared_legend(figure, list(handles.values()), list(handles))
    return figure
