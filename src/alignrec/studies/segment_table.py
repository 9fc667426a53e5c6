"""Evaluated runs by segment of the test split: who is served badly, and by which model less so.

AlignRec (CIKM 2024), section 5.5 and Figure 5, reports on items with fewer than four training interactions; the switch
in its authors' code keeps users with fewer than four instead. Both readings are here, beside buckets of users by what
they took and the rest of the items. The lists are those of all items; only what counts as relevant is cut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from alignrec.data import Dataset
from alignrec.errors import UsageError
from alignrec.evaluation import Report, evaluate, evaluate_segments, parse_metrics, sample_std
from alignrec.evaluation.segments import LONG_TAIL
from alignrec.ranking import top_k
from alignrec.studies.run_folder import Run
from alignrec.studies.run_groups import RunGroup, group_runs, read_evaluated
from alignrec.studies.text_grid import TextGrid

__all__ = ["DEFAULT_SEGMENTED", "SegmentRow", "SegmentTable", "segment_tables"]

DEFAULT_SEGMENTED = ("recall@20", "ndcg@20")
_EVERYBODY = "all"


@dataclass(frozen=True)
class SegmentRow:
    """One model in one segment."""

    segment: str
    users: int  # who have a relevant item in it
    relevant: int  # pairs
    label: str
    seeds: int
    means: Mapping[str, float]  # metric -> mean over users, then over seeds
    stds: Mapping[str, float | None]  # sample deviation over seeds; None: one seed


@dataclass(frozen=True)
class SegmentTable:
    """All models on one dataset."""

    dataset: str
    long_tail: int
    metrics: tuple[str, ...]
    rows: tuple[SegmentRow, ...]  # by segment, then by model

    def grid(self) -> TextGrid:
        """The printed form; the best of a segment is not marked, as no test says it is more than chance."""
        lines, before = [], ""
        for row in self.rows:
            named = row.segment != before
            about = (row.segment, f"{row.users:,}") if named else ("", "")
            lines.append((*about, row.label, str(row.seeds), *(_shown(row, name) for name in self.metrics)))
            before = row.segment
        few = self.long_tail
        notes = (
            "mean ± sample standard deviation over seeds; users: who have a relevant item in the segment",
            f"items: relevant are test items with fewer than {few} training interactions, or the others; "
            "all items are ranked",
            f"users: by their training interactions; users 0-{few - 1} are the long tail of AlignRec's code",
        )
        head = ("segment", "users", "model", "seeds", *self.metrics)
        return TextGrid(f"{self.dataset}, test split by segment", head, tuple(lines), notes, words=3)

    def lines(self) -> list[dict[str, Any]]:  # Any: JSON values
        """One flat record per segment, model and metric."""
        return [
            {
                "dataset": self.dataset,
                "segment": row.segment,
                "users": row.users,
                "relevant": row.relevant,
                "label": row.label,
                "seeds": row.seeds,
                "metric": name,
                "mean": row.means[name],
                "std": row.stds[name],
            }
            for row in self.rows
            for name in self.metrics
        ]

    def to_csv(self) -> str:
        """The records of `lines`, in full precision."""
        return pl.DataFrame(self.lines(), infer_schema_length=None).write_csv()


def segment_tables(
    runs: Sequence[str | Path],
    *,
    metrics: Sequence[str] = DEFAULT_SEGMENTED,
    long_tail: int = LONG_TAIL,
    dataset: str | Path | None = None,
) -> list[SegmentTable]:
    """Rank with every run again and evaluate the segments of the test split; a table per dataset.

    Args:
        runs: folders of evaluated runs; those that differ only in their seed are one row.
        metrics: such as `recall@20`.
        long_tail: an item is of the long tail with fewer training interactions.
        dataset: where the dataset is, if it has moved.

    Raises:
        UsageError: no run, an unknown metric, a long tail below 1.
        ArtifactError: a run that is not finished or evaluated, or whose dataset is not where it was.
    """
    if not runs:
        raise UsageError("no run given; name the folder of at least one")
    names = tuple(dict.fromkeys(metrics))
    cutoff = max(metric.cutoff for metric in parse_metrics(names))
    groups = group_runs([read_evaluated(run, split="test", metrics=()) for run in runs])
    tables = []
    for digest in dict.fromkeys(group.plan.dataset["hash"] for group in groups):
        mine = [group for group in groups if group.plan.dataset["hash"] == digest]
        data = Run.open(next(iter(mine[0].runs.values())).path).dataset(dataset)
        found = {group.label: _of_seeds(group, data, names, cutoff, long_tail) for group in mine}
        segments = dict.fromkeys(segment for reports in found.values() for segment in reports)
        rows = [
            _row(segment, label, reports[segment], names) for segment in segments for label, reports in found.items()
        ]
        tables.append(SegmentTable(data.name, long_tail, names, tuple(rows)))
    return tables


def _of_seeds(
    group: RunGroup, data: Dataset, metrics: Sequence[str], cutoff: int, long_tail: int
) -> dict[str, list[Report]]:
    """The reports of every segment, one per seed."""
    train, test = data.split("train"), data.split("test")
    users = np.flatnonzero(np.diff(test.indptr))
    edges = tuple(dict.fromkeys([0, long_tail, *(edge for edge in (6, 11) if edge > long_tail)]))
    found: dict[str, list[Report]] = {}
    for each in group.runs.values():
        embeddings = Run.open(each.path).embeddings()
        ranking = top_k(embeddings.users, embeddings.items, cutoff, exclude=train, rows=users)
        parts = evaluate_segments(ranking, test, train, metrics, users=users, long_tail=long_tail, user_edges=edges)
        whole = evaluate(ranking, test, metrics, users=users, split=_EVERYBODY)
        for segment, report in {_EVERYBODY: whole, **parts}.items():
            found.setdefault(segment, []).append(report)
    return found


def _row(segment: str, label: str, reports: Sequence[Report], metrics: Sequence[str]) -> SegmentRow:
    values = {name: [report[name] for report in reports] for name in metrics}
    means = {name: float(np.mean(found)) for name, found in values.items()}
    stds = {name: sample_std(found) for name, found in values.items()}
    return SegmentRow(segment, reports[0].n_users, reports[0].n_relevant, label, len(reports), means, stds)


def _shown(row: SegmentRow, name: str) -> str:
    std = row.stds[name]
    return f"{row.means[name]:.4f}" + ("" if std is None else f" ± {std:.4f}")
