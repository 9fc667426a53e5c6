"""What a study found on each of its datasets, gathered for the study's page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alignrec.data import Dataset
from alignrec.errors import ArtifactError, DataError, UsageError
from alignrec.studies.compare import ComparisonTable
from alignrec.studies.run_folder import Run, RunPlan
from alignrec.studies.study import Study, StudyEntry

__all__ = ["DatasetResults", "gather_results"]


@dataclass(frozen=True)
class DatasetResults:
    """One dataset of a study: its cells, what they show, and the data itself if it is still there."""

    name: str  # as the study calls it
    entries: tuple[StudyEntry, ...]
    table: ComparisonTable | None  # None: no run is finished
    data: Dataset | None
    absence: str  # why there is no data, in one line; else empty

    @property
    def rows(self) -> list[str]:
        """Labels of the rows, in the study's order."""
        return list(dict.fromkeys(entry.row for entry in self.entries))

    @property
    def failures(self) -> list[StudyEntry]:
        """The cells without a run."""
        return [entry for entry in self.entries if entry.run is None]

    def runs(self, row: str) -> list[tuple[Run, RunPlan]]:
        """The finished runs of a row with their plans, by seed."""
        found = sorted((entry for entry in self.entries if entry.row == row), key=lambda entry: entry.seed)
        return [(entry.run, entry.run.plan) for entry in found if entry.run is not None]

    def first_runs(self) -> dict[str, tuple[Run, RunPlan]]:
        """Row -> the finished run with the lowest seed; rows without one are left out."""
        return {row: runs[0] for row in self.rows if (runs := self.runs(row))}


def gather_results(study: Study, datasets: Mapping[str, str | Path] | None = None) -> list[DatasetResults]:
    """Compare the finished runs of every dataset; `datasets` says where those are that have moved.

    Each dataset is compared by itself: a baseline that failed on one leaves the tests on the others as they are.

    Raises:
        UsageError: `datasets` names one that the study does not have.
        ArtifactError: a run that is gone, or that was not evaluated by the study's metrics.
    """
    given = dict(datasets or {})
    unknown = [name for name in given if name not in study.settings.datasets]
    if unknown:
        allowed = ", ".join(study.settings.datasets)
        raise UsageError(f"the study has no dataset {unknown[0]!r}; there are: {allowed}")
    found = []
    for name in study.settings.datasets:
        entries = tuple(entry for entry in study.entries if entry.dataset == name)
        data, absence = _dataset(entries, given.get(name))
        done = any(entry.run is not None for entry in entries)
        table = study.comparison(dataset=name).tables[0] if done else None
        found.append(DatasetResults(name, entries, table, data, absence))
    return found


def _dataset(entries: tuple[StudyEntry, ...], moved_to: str | Path | None) -> tuple[Dataset | None, str]:
    run = next((entry.run for entry in entries if entry.run is not None), None)
    if run is None:
        return None, "no run is finished"
    try:
        return run.dataset(moved_to), ""
    except (ArtifactError, DataError):  # their words name folders of this machine, and a page is for others
        name = entries[0].dataset
        return None, f"the dataset that the runs were trained on is not there; --dataset {name}=FOLDER says where it is"
