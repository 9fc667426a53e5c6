"""A study folder: what was asked, which runs answer it, and the tables made from them.

study.json (settings, every cell with its key, run and error) · table.md · table.tex · table.csv · comparison.json ·
runs/KEY/ (unless the runs are kept elsewhere, for several studies to share).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alignrec.artifacts import read_json, write_bytes, write_json
from alignrec.errors import AlignrecError, ArtifactError, UsageError
from alignrec.evaluation import BEYOND_CUTOFF, DEFAULT_METRICS, divide_metrics
from alignrec.studies.compare import Comparison, compare
from alignrec.studies.run_folder import Run
from alignrec.studies.study_cells import study_cells
from alignrec.studies.study_display import StudyDisplay
from alignrec.studies.study_runner import CellResult, make_features, run_cells
from alignrec.studies.study_settings import StudySettings

__all__ = ["NOT_RUN", "Study", "StudyEntry", "run_study"]

NOT_RUN = "not run yet"  # the error of a cell whose turn has not come
_FORMAT = 1
_TABLES = ("table.md", "table.tex", "table.csv", "comparison.json")


@dataclass(frozen=True)
class StudyEntry:
    """One cell of a study as its folder remembers it."""

    row: str
    dataset: str
    seed: int
    key: str
    run: Run | None
    error: str | None
    command: str  # that trains this run alone


@dataclass(frozen=True)
class Study:
    """A study on disk."""

    path: Path
    settings: StudySettings
    entries: tuple[StudyEntry, ...]

    @classmethod
    def open(cls, path: str | Path) -> "Study":
        """The study in folder `path`.

        Raises:
            ArtifactError: there is none.
        """
        folder = Path(path)
        if not (folder / "study.json").is_file():
            raise ArtifactError(
                f"no study in {folder}; make one with 'alignrec study compare STUDY.yaml --out {folder}'"
            )
        stored = read_json(folder / "study.json")
        if stored.get("format") != _FORMAT:
            raise ArtifactError(f"{folder} has study format {stored.get('format')!r}, this version reads {_FORMAT}")
        entries = []
        for cell in stored["cells"]:
            run = Run((folder / cell["run"]).resolve()) if cell["run"] is not None else None
            entries.append(StudyEntry(**{**cell, "run": run}))
        return cls(folder, StudySettings.create(stored["settings"], section="study.json"), tuple(entries))

    def comparison(self, metrics: Sequence[str] | None = None, *, dataset: str | None = None) -> Comparison:
        """The finished runs side by side, of `dataset` or of all, rows and datasets called as the study calls them.

        They are tested against the baseline, or against the best other row where it has no finished run among them.

        Raises:
            ArtifactError: no run is finished, or one was not evaluated by these metrics.
        """
        entries = [entry for entry in self.entries if dataset in (None, entry.dataset)]
        done = [(entry, entry.run) for entry in entries if entry.run is not None]
        if not done:
            raise ArtifactError(f"no run of the study in {self.path} is finished; see the errors in its study.json")
        labels = {run.path: entry.row for entry, run in done}
        return compare(
            [run.path for _, run in done],
            metrics=metrics or self.settings.metrics,
            baseline=self.settings.baseline if self.settings.baseline in labels.values() else None,
            labels=labels,
            popularity=True,
            datasets={run.plan.dataset["hash"]: entry.dataset for entry, run in done},
        )

    def failures(self) -> list[str]:
        """One line for every cell without a run."""
        return [
            f"{entry.row} on {entry.dataset}, seed {entry.seed}: {entry.error}"
            for entry in self.entries
            if entry.run is None
        ]


def run_study(
    settings: StudySettings,
    out: str | Path,
    *,
    jobs: int = 1,
    runs: str | Path | None = None,
    device: str = "cpu",
    display: StudyDisplay | None = None,
) -> Study:
    """Run what is missing, write the tables into `out`, and return the study.

    Args:
        settings: see `StudySettings`.
        out: folder of the study; the same study goes on in it, and one with other rows or seeds takes its place (runs
            stay: they are known by what they are).
        jobs: runs at a time, each a process with one thread.
        runs: folder that holds the runs, to share them among studies; `out`/runs by default.
        device: where to train.
        display: what shows progress.

    Raises:
        StudyStoppedError: Ctrl-C; the same call goes on.
        UsageError, SettingsError, DataError, FeatureError, ArtifactError: the study cannot be run as it is written.
        AlignrecError: every run failed; the message is the first one's.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder} is a file; choose another --out")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "study.json").is_file():
        raise ArtifactError(f"{folder} exists and is not the folder of a study; choose another --out")
    if jobs < 1:
        raise UsageError(f"jobs is {jobs}; give 1 or more")
    accuracy = _accuracy_metrics(settings.metrics)
    make_features(settings)
    cells = study_cells(settings, device=device)
    where = Path(runs) if runs is not None else folder / "runs"
    metrics = tuple(dict.fromkeys([*DEFAULT_METRICS, *accuracy]))

    def record(results: Mapping[str, CellResult]) -> None:
        """What is there can be looked at while the rest is run, and after a kill."""
        _write(folder, settings, [results.get(cell.key, CellResult(cell, None, NOT_RUN)) for cell in cells])

    run_cells(cells, where, metrics=metrics, jobs=jobs, display=display or StudyDisplay(jobs=jobs), record=record)
    study = Study.open(folder)
    if all(entry.run is None for entry in study.entries):
        for name in _TABLES:  # of the study that stood here before
            (folder / name).unlink(missing_ok=True)
        raise AlignrecError(f"every run of the study failed; the first: {study.failures()[0]}")
    comparison = study.comparison()
    texts = (comparison.to_markdown(), comparison.to_latex(), comparison.to_csv())
    for name, text in zip(_TABLES, texts, strict=False):
        write_bytes(folder / name, text.encode())
    write_json(folder / _TABLES[-1], comparison.as_dict())
    return study


def _accuracy_metrics(names: Sequence[str]) -> list[str]:
    """Those of `names` that are measured by user; every name is checked, as a study trains long before it reads them.

    Raises:
        UsageError: an unknown metric.
    """
    accuracy, beyond = divide_metrics(names)
    other = next((name for name in beyond if name.partition("@")[2] != str(BEYOND_CUTOFF)), None)
    if other is not None:
        kind = other.partition("@")[0]
        raise UsageError(f"{other!r} is not measured; lists have {BEYOND_CUTOFF} places: write {kind}@{BEYOND_CUTOFF}")
    return accuracy


def _write(folder: Path, settings: StudySettings, results: Sequence[CellResult]) -> None:
    cells = []
    for result in results:
        cell, run = result.cell, result.run
        where = None if run is None else os.path.relpath(run.path, folder)
        cells.append(
            {
                "row": cell.label,
                "dataset": cell.dataset,
                "seed": cell.plan.seed,
                "key": cell.key,
                "run": where,
                "error": result.error,
                "command": cell.command(f"runs/{cell.key}"),
            }
        )
    write_json(folder / "study.json", {"format": _FORMAT, "settings": settings.model_dump(), "cells": cells})
