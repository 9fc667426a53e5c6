"""The runs of a reproduced table: rows as a study that is run as far as it is not yet, or runs that are there already.

A run that was tuned on validation has other settings than a row's, so no key finds it: it is put in its row by name
(`given`), or the best by validation of those that are there is taken for each row (`reuse`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from alignrec.data import Dataset
from alignrec.errors import ArtifactError, UsageError
from alignrec.evaluation import DEFAULT_METRICS
from alignrec.settings import by_full_name
from alignrec.studies.evaluation import evaluate
from alignrec.studies.reproduction.features import FeatureSets
from alignrec.studies.reproduction.recipes import RowRecipe
from alignrec.studies.run_folder import Run
from alignrec.studies.run_identity import run_key, with_present_settings
from alignrec.studies.study import run_study
from alignrec.studies.study_cells import find_runs
from alignrec.studies.study_display import StudyDisplay
from alignrec.studies.study_job import is_evaluated
from alignrec.studies.study_settings import RowSettings, StudySettings

__all__ = ["RowRuns", "Training", "reuse_runs", "row_settings", "train_rows"]

_SELECTED_BY = ("recall@20", "ndcg@20")  # of validation; the second decides between equals


@dataclass(frozen=True)
class Training:
    """How missing runs are made, and where all are."""

    out: Path  # folder of the study
    runs: Path  # folder of the runs
    metrics: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    jobs: int = 1
    display: StudyDisplay | None = None


@dataclass
class RowRuns:
    """Runs by label of a row, and what became of the others."""

    runs: dict[str, list[Run]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def row_settings(row: RowRecipe, sets: FeatureSets, chosen: Mapping[str, Any]) -> RowSettings:
    """A recipe as a study's row on one dataset; `chosen` settings win over those of the recipe."""
    features = sets.tables(row.features)
    values = {**row.settings, **row.fixed}
    if "model.modality_weights" in values:
        weights = sets.by_table(features, values.pop("model.modality_weights"))
        values |= {"model.modality_weights": weights} if weights else {}
    return RowSettings(
        label=row.label,
        model=row.model,
        features=list(features),
        plugins=list(row.plugins),
        settings={**values, **chosen},
    )


def train_rows(name: str, dataset: tuple[str, Path], rows: Sequence[RowSettings], how: Training) -> RowRuns:
    """Run the study of `rows` on `dataset` (its name and folder), as far as it is not yet.

    Raises:
        StudyStoppedError: Ctrl-C; the same call goes on.
        AlignrecError: every run failed, or the study cannot be run.
    """
    found = RowRuns()
    if not rows:
        return found
    study = StudySettings(
        name=name,
        datasets={dataset[0]: str(dataset[1])},
        rows=list(rows),
        seeds=list(how.seeds),
        metrics=list(how.metrics or _SELECTED_BY),
    )
    done = run_study(study, how.out, jobs=how.jobs, runs=how.runs, display=how.display)
    for entry in done.entries:
        if entry.run is not None:
            found.runs.setdefault(entry.row, []).append(entry.run)
    found.failures = done.failures()
    failed = {entry.row: f"failed: {entry.error}" for entry in done.entries if entry.run is None}
    found.left_out = {label: why for label, why in failed.items() if label not in found.runs}
    return found


def reuse_runs(
    folder: Path, data: Dataset, rows: Sequence[RowRecipe], sets: FeatureSets, metrics: Sequence[str]
) -> RowRuns:
    """Of the finished runs in `folder`, for every row those of the settings best by validation; evaluated if need be.

    Only the settings that make a row what it is must agree; a run that fits a more particular row of the same model
    is left to that one.

    Raises:
        UsageError: no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give the one that holds runs with --runs")
    there = [run for run in find_runs(folder).values() if run.plan.dataset["hash"] == data.content_hash]
    found = RowRuns()
    for row in rows:
        rivals = [other for other in rows if other.model == row.model and len(other.fixed) > len(row.fixed)]
        fitting = [
            run for run in there if _fits(run, row, sets) and not any(_fits(run, other, sets) for other in rivals)
        ]
        groups: dict[str, list[Run]] = {}
        for run in fitting:
            groups.setdefault(run_key(replace(with_present_settings(run.plan), seed=0)), []).append(run)
        if groups:
            found.runs[row.label] = max(groups.values(), key=_validated)
        else:
            found.left_out[row.label] = f"no run of it in {folder}"
    for run in (run for runs in found.runs.values() for run in runs):
        if not is_evaluated(run, tuple(metrics)):
            evaluate(run, metrics=tuple(dict.fromkeys([*DEFAULT_METRICS, *metrics])), dataset=data.path)
    return found


def _fits(run: Run, row: RowRecipe, sets: FeatureSets) -> bool:
    plan = with_present_settings(run.plan)
    alike = (plan.model, tuple(sorted(plan.plugins)), tuple(plan.features))
    if alike != (row.model, tuple(sorted(row.plugins)), sets.tables(row.features)):
        return False
    values = by_full_name(plan.settings)
    return all(values.get(name) == value for name, value in row.fixed.items())


def _validated(runs: Sequence[Run]) -> tuple[float, ...]:
    found = [run.selected() for run in runs]
    for run, values in zip(runs, found, strict=True):
        if lacking := next((name for name in _SELECTED_BY if name not in values), None):
            raise ArtifactError(
                f"{run.path} has no {lacking} on validation, by which runs are chosen; evaluate it anew"
            )
    return tuple(float(np.mean([values[name] for values in found])) for name in _SELECTED_BY)
