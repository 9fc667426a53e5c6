"""Finished runs side by side: means over seeds, and whether a difference is more than chance.

Every row is tested against one other: the named baseline, or else the row that is best by the first metric among the
others. The mark in the table is the paired t-test over users (values averaged over seeds), Holm-corrected over all
comparisons of the table; Wilcoxon and the test over seeds are in the CSV and JSON forms, each with its own correction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from alignrec.errors import UsageError
from alignrec.evaluation import (
    Significance,
    divide_metrics,
    holm,
    is_beyond,
    paired_t_test,
    sample_std,
    seed_t_test,
    wilcoxon_test,
)
from alignrec.studies.comparison_grid import Cell, ComparisonGrid, marked
from alignrec.studies.run_groups import RunGroup, group_runs, read_evaluated

__all__ = ["ALPHA", "DEFAULT_COMPARED", "Comparison", "ComparisonTable", "Contrast", "compare"]

ALPHA = 0.01
DEFAULT_COMPARED = ("recall@20", "ndcg@20")
_TESTS = ("users", "users_wilcoxon", "seeds")


@dataclass(frozen=True)
class Contrast:
    """One row against another by one metric; each test with its p-value after Holm's correction."""

    label: str
    reference: str
    metric: str
    tests: dict[str, Significance]  # "users", "users_wilcoxon", "seeds"
    corrected: dict[str, float | None]  # the same keys

    @property
    def sign(self) -> Literal["†", "‡", ""]:
        """† significantly better over users, ‡ significantly worse, else nothing."""
        p = self.corrected["users"]
        if p is None or p >= ALPHA:
            return ""
        return "†" if self.tests["users"].difference > 0 else "‡"


@dataclass(frozen=True)
class ComparisonTable:
    """All runs of one dataset on one split."""

    dataset: str
    dataset_hash: str
    split: str
    metrics: tuple[str, ...]  # all columns
    groups: tuple[RunGroup, ...]
    contrasts: tuple[Contrast, ...]
    baseline: str | None
    untrained: Mapping[str, Mapping[str, float]]  # label ("popularity") -> metric -> figure; empty: not asked for

    def cell(self, group: RunGroup, name: str) -> Cell:
        """Mean and sample standard deviation over the seeds of a row; not marked as best."""
        values = list(group.figures(name).values())
        contrast = self.contrast(group.label, name)
        return Cell(float(np.mean(values)), sample_std(values), sign=contrast.sign if contrast else "")

    def contrast(self, label: str, metric: str) -> Contrast | None:
        """What the row `label` was tested against by `metric`; None if it was not."""
        return next((c for c in self.contrasts if (c.label, c.metric) == (label, metric)), None)

    def grid(self) -> ComparisonGrid:
        """The printed form. Figures beyond accuracy have no best: more of them is not better by itself."""
        labels: list[tuple[str, int | None]] = [(group.label, len(group.runs)) for group in self.groups]
        columns = [[self.cell(group, name) for group in self.groups] for name in self.metrics]
        labels = [(label, None) for label in self.untrained] + labels
        columns = [
            [*(Cell(line.get(name), None) for line in self.untrained.values()), *column]
            for name, column in zip(self.metrics, columns, strict=True)
        ]
        shown = [
            column if is_beyond(name) else marked(column) for name, column in zip(self.metrics, columns, strict=True)
        ]
        rows = tuple(
            (label, seeds, tuple(column[number] for column in shown)) for number, (label, seeds) in enumerate(labels)
        )
        users = len(next(iter(self.groups[0].runs.values())).users)
        notes = [f"mean ± sample standard deviation over seeds; {users} users"]
        if self.contrasts:
            against = self.baseline or "the best other row"
            notes.append(f"† better, ‡ worse than {against}: paired t-test over users, Holm-corrected p < {ALPHA:g}")
        return ComparisonGrid(f"{self.dataset}, {self.split} split", self.metrics, rows, tuple(notes))

    def lines(self) -> list[dict[str, Any]]:  # Any: JSON values
        """One flat record per row and metric; None where there is no answer or was no test."""
        found = []
        for group in self.groups:
            for name in self.metrics:
                cell, contrast = self.cell(group, name), self.contrast(group.label, name)
                record: dict[str, Any] = {"dataset": self.dataset, "dataset_hash": self.dataset_hash}
                record |= {"split": self.split, "label": group.label, "metric": name, "seeds": len(group.runs)}
                record |= {"mean": cell.mean, "std": cell.std, "reference": contrast.reference if contrast else None}
                record["difference"] = contrast.tests["users"].difference if contrast else None
                for test in _TESTS:
                    record[f"p_{test}"] = contrast.tests[test].p if contrast else None
                    record[f"p_{test}_holm"] = contrast.corrected[test] if contrast else None
                found.append(record)
        empty = dict.fromkeys(found[0]) if found else {}
        for label, line in self.untrained.items():
            for name, value in line.items():
                about = {"dataset": self.dataset, "dataset_hash": self.dataset_hash, "split": self.split}
                found.append({**empty, **about, "label": label, "metric": name, "mean": value})
        return found

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """Everything but the per-user values, as a JSON object."""
        rows = [
            {
                "label": group.label,
                "runs": {str(seed): str(run.path) for seed, run in group.runs.items()},
                "figures": {
                    name: {
                        "mean": (cell := self.cell(group, name)).mean,
                        "std": cell.std,
                        "seeds": {str(seed): value for seed, value in group.figures(name).items()},
                    }
                    for name in self.metrics
                },
            }
            for group in self.groups
        ]
        about = {"name": self.dataset, "hash": self.dataset_hash}
        contrasts = [asdict(contrast) for contrast in self.contrasts]
        lines = {label: dict(line) for label, line in self.untrained.items()}
        return {"dataset": about, "rows": rows, "untrained": lines, "contrasts": contrasts}


@dataclass(frozen=True)
class Comparison:
    """One table per dataset, in the order in which the runs were named."""

    split: str
    metrics: tuple[str, ...]
    tables: tuple[ComparisonTable, ...]

    def grids(self) -> list[ComparisonGrid]:
        """The printed form of every table."""
        return [table.grid() for table in self.tables]

    def to_markdown(self) -> str:
        """All tables in Markdown."""
        return "\n".join(grid.to_markdown() for grid in self.grids())

    def to_latex(self) -> str:
        """All tables in LaTeX, for the package `booktabs`."""
        return "\n".join(grid.to_latex() for grid in self.grids())

    def to_csv(self) -> str:
        """One line per row and metric, in full precision; empty where there is no answer."""
        records = [line for table in self.tables for line in table.lines()]
        return pl.DataFrame(records, infer_schema_length=None).write_csv()

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """Everything but the per-user values, as a JSON object."""
        tables = [table.as_dict() for table in self.tables]
        return {"split": self.split, "metrics": list(self.metrics), "alpha": ALPHA, "tables": tables}


def compare(
    runs: Sequence[str | Path],
    *,
    metrics: Sequence[str] = DEFAULT_COMPARED,
    baseline: str | None = None,
    split: str = "test",
    labels: Mapping[Path, str] | None = None,
    popularity: bool = False,
    datasets: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare finished and evaluated runs; runs that differ only in their seed are one row.

    Args:
        runs: their folders.
        metrics: such as `recall@20`; also figures beyond accuracy, such as `coverage@20`, which are not tested.
        baseline: label of the row that all others are tested against; by default the best other row.
        split: `test` or `valid`.
        labels: what to call the rows, by the folders of their runs; by default what sets them apart.
        popularity: whether popularity (and ItemKNN, where it was measured) is a row too; they are not tested.
        datasets: what to call them, by their content hashes; by default as they call themselves.

    Raises:
        UsageError: no run, an unknown metric, split or baseline, or one seed of a model given twice.
        ArtifactError: a run that is not finished or not evaluated by these metrics.
    """
    if not runs:
        raise UsageError("no run given to compare; name the folder of at least one")
    if split not in ("valid", "test"):
        raise UsageError(f"unknown split {split!r}; allowed: valid, test")
    names = tuple(dict.fromkeys(metrics))
    accuracy, beyond = divide_metrics(names)
    evaluated = [read_evaluated(run, split=split, metrics=accuracy, beyond=beyond) for run in runs]
    groups = group_runs(evaluated, labels)
    tables = []
    for digest in dict.fromkeys(group.plan.dataset["hash"] for group in groups):
        rows = tuple(group for group in groups if group.plan.dataset["hash"] == digest)
        contrasts = _contrasts(rows, accuracy, baseline)
        about = (datasets or {}).get(digest, rows[0].plan.dataset["name"]), digest, split
        tables.append(ComparisonTable(*about, names, rows, contrasts, baseline, _untrained(rows) if popularity else {}))
    return Comparison(split, names, tuple(tables))


def _untrained(groups: Sequence[RunGroup]) -> dict[str, Mapping[str, float]]:
    """What needs no training, from the first run that it was measured beside."""
    found: dict[str, Mapping[str, float]] = {}
    for run in (run for group in groups for run in group.runs.values()):
        for label, line in run.untrained.items():
            found.setdefault(label, line)
    return found


def _contrasts(groups: Sequence[RunGroup], metrics: Sequence[str], baseline: str | None) -> tuple[Contrast, ...]:
    labels = [group.label for group in groups]
    if baseline is not None and baseline not in labels:
        name = groups[0].plan.dataset["name"]
        raise UsageError(f"no row {baseline!r} among the runs on {name}; there are: {'; '.join(labels)}")
    asked = [
        (group, reference, metric)
        for group in groups
        if (reference := _reference(group, groups, metrics, baseline)) is not None
        for metric in metrics
    ]
    tests = [_tests(*each) for each in asked]
    # the best and the second best are tested against each other: the same comparison from both sides, counted once
    pairs = [(frozenset((group.label, reference.label)), metric) for group, reference, metric in asked]
    family = list(dict.fromkeys(pairs))
    corrected = {
        kind: dict(zip(family, holm([tests[pairs.index(pair)][kind].p for pair in family]), strict=True))
        for kind in _TESTS
    }
    return tuple(
        Contrast(group.label, reference.label, metric, found, {kind: corrected[kind][pair] for kind in _TESTS})
        for (group, reference, metric), found, pair in zip(asked, tests, pairs, strict=True)
    )


def _reference(
    group: RunGroup, groups: Sequence[RunGroup], metrics: Sequence[str], baseline: str | None
) -> RunGroup | None:
    others = [other for other in groups if other is not group]
    if not others or not metrics or group.label == baseline:
        return None
    if baseline is not None:
        return next(other for other in others if other.label == baseline)
    return max(others, key=lambda other: float(np.mean(list(other.figures(metrics[0]).values()))))


def _tests(group: RunGroup, reference: RunGroup, metric: str) -> dict[str, Significance]:
    first, second = group.per_user(metric), reference.per_user(metric)
    seeds = seed_t_test(group.figures(metric), reference.figures(metric))
    return {"users": paired_t_test(first, second), "users_wilcoxon": wilcoxon_test(first, second), "seeds": seeds}
