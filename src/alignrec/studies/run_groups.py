"""Evaluated runs read back, and grouped into what differs by nothing but the seed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from alignrec.errors import ArtifactError, UsageError
from alignrec.settings import by_full_name
from alignrec.studies.run_folder import Run, RunPlan
from alignrec.studies.run_identity import run_key, with_present_settings

__all__ = ["EvaluatedRun", "RunGroup", "group_runs", "read_evaluated"]

_UNTRAINED = {"popularity": "popularity", "item_knn": "ItemKNN"}  # key in report.json -> label of its row
_CLOSE = 1e-9  # between a mean of per_user.parquet and the one in report.json


@dataclass(frozen=True)
class EvaluatedRun:
    """What one run got on one split."""

    path: Path
    plan: RunPlan
    users: NDArray[np.int64]  # (n,) ascending user indices
    values: Mapping[str, NDArray[np.float64]]  # metric -> (n,)
    figures: Mapping[str, float]  # metric, or figure beyond accuracy -> the one in report.json
    untrained: Mapping[str, Mapping[str, float]]  # the same of "popularity" and "ItemKNN", as far as they were measured


@dataclass(frozen=True)
class RunGroup:
    """Runs of one model with one set of features, plug-ins and settings on one dataset, by seed."""

    label: str
    runs: Mapping[int, EvaluatedRun]  # seed -> run, ascending

    @property
    def plan(self) -> RunPlan:
        """The plan of the first seed."""
        return next(iter(self.runs.values())).plan

    def figures(self, name: str) -> dict[int, float]:
        """A metric of each seed."""
        return {seed: run.figures[name] for seed, run in self.runs.items()}

    def per_user(self, metric: str) -> NDArray[np.float64]:
        """Each user's value (n,), mean over the seeds."""
        return np.asarray(np.mean([run.values[metric] for run in self.runs.values()], axis=0))


def read_evaluated(path: str | Path, *, split: str, metrics: Sequence[str], beyond: Sequence[str] = ()) -> EvaluatedRun:
    """What the run in `path` got on `split`: `metrics` by user, figures `beyond` accuracy as one number.

    Raises:
        ArtifactError: no finished run; one that was not evaluated, or not by these metrics; files that disagree.
        UsageError: its report has no such split.
    """
    run = Run.open(path)
    plan = with_present_settings(run.plan)
    report, file = run.report(), run.path / "per_user.parquet"
    if "test" not in report or not file.is_file():  # training leaves a report of validation alone
        raise ArtifactError(f"the run in {path} was not evaluated; run 'alignrec evaluate {path}' first")
    if split not in report:
        raise UsageError(f"the report of {path} has no split {split!r}; allowed: valid, test")
    there = report[split]
    missing = [name for name in (*metrics, *beyond) if name not in there]
    if missing:
        raise ArtifactError(f"{file.parent / 'report.json'} has no {missing[0]}; {_remedy(path, missing, metrics)}")
    try:
        frame = pl.read_parquet(file, columns=["split", "user", *metrics], glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{file} cannot be read ({reason}); run 'alignrec evaluate {path}' again") from None
    rows = frame.filter(pl.col("split") == split).sort("user")
    values = {name: rows[name].to_numpy().astype(np.float64) for name in metrics}
    for name, column in values.items():
        if not len(column) or not abs(column.mean() - there[name]) < _CLOSE:
            raise ArtifactError(f"{file} and report.json differ in {name}; run 'alignrec evaluate {path}' again")
    figures = {name: float(there[name]) for name in (*metrics, *beyond)}
    lines = {label: report.get(key, {}).get(split, {}) for key, label in _UNTRAINED.items()}
    untrained = {
        label: {name: float(line[name]) for name in figures if name in line} for label, line in lines.items() if line
    }
    return EvaluatedRun(run.path, plan, rows["user"].to_numpy().astype(np.int64), values, figures, untrained)


def _remedy(path: str | Path, missing: Sequence[str], metrics: Sequence[str]) -> str:
    """The command that measures what is missing; figures beyond accuracy are of lists of 20, or shorter ones."""
    if missing[0] not in metrics:
        return f"run 'alignrec evaluate {path}', or ask for a figure it has"
    return f"run 'alignrec evaluate {path} {' '.join(f'--metric {name}' for name in metrics)}'"


def group_runs(runs: Sequence[EvaluatedRun], labels: Mapping[Path, str] | None = None) -> list[RunGroup]:
    """Group by dataset, model, plug-ins, features and settings, in the order in which the groups first appear.

    A label is the model, its features in brackets, its plug-ins; where two groups of one dataset would be called
    the same, the settings (or hashes of features) in which they differ are added. `labels`, by the runs' folders, come
    first.

    Raises:
        UsageError: one seed of a group is there twice.
        ArtifactError: runs of one dataset were not evaluated for the same users.
    """
    groups: dict[str, dict[int, EvaluatedRun]] = {}
    users: dict[str, EvaluatedRun] = {}
    for run in runs:
        seeds = groups.setdefault(_key(run.plan), {})
        if run.plan.seed in seeds:
            raise UsageError(
                f"{seeds[run.plan.seed].path} and {run.path} are one model with one seed ({run.plan.seed}); "
                "give one of them"
            )
        seeds[run.plan.seed] = run
        first = users.setdefault(run.plan.dataset["hash"], run)
        if not np.array_equal(first.users, run.users):
            raise ArtifactError(
                f"{first.path} and {run.path} were not evaluated for the same users; evaluate both again"
            )
    found = list(groups.values())
    plans = [next(iter(group.values())).plan for group in found]
    return [
        RunGroup(_given(group, labels or {}) or _label(plan, plans), dict(sorted(group.items())))
        for plan, group in zip(plans, found, strict=True)
    ]


def _key(plan: RunPlan) -> str:
    return run_key(replace(plan, seed=0))


def _given(group: Mapping[int, EvaluatedRun], labels: Mapping[Path, str]) -> str | None:
    return next((labels[run.path] for run in group.values() if run.path in labels), None)


def _label(plan: RunPlan, plans: Sequence[RunPlan]) -> str:
    name, mine = _name(plan), _choices(plan)
    twins = [
        _choices(other) for other in plans if (_name(other), other.dataset["hash"]) == (name, plan.dataset["hash"])
    ]
    differing = [f"{key}={value}" for key, value in mine.items() if any(twin.get(key) != value for twin in twins)]
    return f"{name} ({', '.join(differing)})" if differing else name


def _name(plan: RunPlan) -> str:
    features = f" [{', '.join(plan.features)}]" if plan.features else ""
    return " + ".join([plan.model + features, *plan.plugins])


def _choices(plan: RunPlan) -> dict[str, str]:
    """Every setting as `--set` names it, and the beginning of each feature table's hash, as text."""
    settings = by_full_name(plan.settings)
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
    return texts | {f"features.{name}": digest[:8] for name, digest in plan.features.items()}
