"""Reproduce a table of the papers: compute its rows on one's own data and put the printed figures beside them.

Tables of runs go through a study (`study_cells`), Table 3 of AlignRec through the probes, Table 9 through `cost`,
statistics are counted. What the data at hand do not allow is left out and named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alignrec.artifacts import write_bytes, write_json
from alignrec.data import Dataset
from alignrec.errors import UsageError
from alignrec.evaluation import sample_std
from alignrec.studies.cost import measure_costs
from alignrec.studies.reproduction.dataset_facts import counts_of, data_differences, describe_data
from alignrec.studies.reproduction.features import FeatureSets
from alignrec.studies.reproduction.probes import probed_rows
from alignrec.studies.reproduction.published import PublishedTable
from alignrec.studies.reproduction.recipes import Recipe, RowRecipe, recipe, recipe_rows
from alignrec.studies.reproduction.request import ReproduceRequest, named_datasets, refuse_unread, require_own
from alignrec.studies.reproduction.result import ReproducedCell, ReproducedRow, ReproducedTable, Reproduction
from alignrec.studies.reproduction.runs import RowRuns, Training, reuse_runs, row_settings, train_rows
from alignrec.studies.run_folder import Run
from alignrec.studies.run_groups import read_evaluated
from alignrec.studies.study_display import StudyDisplay

__all__ = ["reproduce"]

_FORMAT = 1


def reproduce(
    address: str,
    datasets: Mapping[str, str | Path],
    out: str | Path,
    request: ReproduceRequest | None = None,
    *,
    display: StudyDisplay | None = None,
) -> Reproduction:
    """Compute the table `address` (PAPER/TABLE) on `datasets` and write it into the folder `out`.

    Args:
        address: such as `cikm24/table2`.
        datasets: folder by the paper's name of the dataset, in any case.
        out: folder for the tables and, unless they are kept elsewhere, the runs; the same call goes on in it.
        request: see `ReproduceRequest`.
        display: what shows the progress of runs.

    Raises:
        UsageError: an unknown table, dataset, row or setting, or nothing is left to compute.
        ArtifactError: a dataset or run that cannot be used, or `out` holds something else.
        StudyStoppedError: Ctrl-C; the same call goes on.
    """
    which, asked, folder = recipe(address), request or ReproduceRequest(), Path(out)
    named = named_datasets(which, datasets)
    require_own(folder, which)
    opened = {name: Dataset.load(path) for name, path in named.items()}
    refuse_unread(which, asked, opened.values())
    write_json(folder / "reproduction.json", {"format": _FORMAT, "table": which.address, "done": False})
    make = {"runs": _by_runs, "probes": _by_probes, "statistics": _by_counting, "cost": _by_cost}[which.kind]
    failures: list[str] = []
    tables = [make(_Place(which, name, data, folder, display, failures), asked) for name, data in opened.items()]
    result = Reproduction(which.address, tuple(tables), tuple(failures))
    write_bytes(folder / "table.md", result.to_markdown().encode())
    write_bytes(folder / "table.tex", result.to_latex().encode())
    write_bytes(folder / "table.csv", result.to_csv().encode())
    write_json(folder / "reproduction.json", {"format": _FORMAT, "done": True, **result.as_dict()})
    return result


@dataclass(frozen=True)
class _Place:
    """One table on one dataset, and where things go."""

    recipe: Recipe
    dataset: str  # as the paper calls it
    data: Dataset
    out: Path
    display: StudyDisplay | None
    failures: list[str]

    @property
    def published(self) -> PublishedTable:
        return self.recipe.published

    def table(
        self, rows: Sequence[ReproducedRow], left_out: Mapping[str, str], remarks: Sequence[str] = ()
    ) -> ReproducedTable:
        if not rows:
            reasons = "; ".join(f"{label}: {why}" for label, why in left_out.items())
            raise UsageError(f"nothing of {self.recipe.address} can be computed on {self.data.name}: {reasons}")
        differences = tuple(data_differences(self.data, self.dataset))
        about = (self.dataset, describe_data(self.data), differences)
        return ReproducedTable(self.published, *about, tuple(rows), left_out, tuple(remarks))

    def cell(self, row: str, column: str, values: Sequence[float]) -> ReproducedCell:
        mean = float(np.mean(values)) if len(values) else None
        return ReproducedCell(column, mean, sample_std(values), self.published.figure(self.dataset, row, column))


def _by_runs(place: _Place, asked: ReproduceRequest) -> ReproducedTable:
    rows, left_out = recipe_rows(place.recipe, place.dataset)
    for name in asked.settings:
        if name:
            _row_of(name, rows, place)
    rows = _kept(rows, asked.models, place)
    left_out = {label: why for label, why in left_out.items() if not asked.models}
    sets = FeatureSets(place.data, asked.features, distinct=place.recipe.address == "cikm24/table4")
    found = RowRuns(_given(rows, asked, place))
    waiting = [row for row in rows if row.label not in found.runs]
    for row in waiting:
        if row.features and not sets.tables(row.features):
            left_out[row.label] = sets.refusal(row.features)
    waiting = [row for row in waiting if row.label not in left_out]
    more = _find_runs(place, asked, waiting, sets)
    place.failures.extend(more.failures)
    runs, left_out = found.runs | more.runs, left_out | more.left_out
    done = [_run_row(place, row, runs[row.label], sets) for row in rows if row.label in runs]
    return place.table(done, left_out)


def _find_runs(place: _Place, asked: ReproduceRequest, waiting: Sequence[RowRecipe], sets: FeatureSets) -> RowRuns:
    folder = asked.runs or place.out / "runs"
    metrics = _metrics(place.published)
    if asked.reuse:
        return reuse_runs(folder, place.data, waiting, sets, metrics)
    if place.data.path is None:
        raise UsageError(f"dataset {place.data.name!r} is only in memory; save it first")
    rows = [row_settings(row, sets, _chosen(row, asked.settings)) for row in waiting]
    study = place.out / f"study-{place.dataset.lower()}"
    how = Training(study, folder, metrics, asked.seeds, asked.jobs, place.display)
    return train_rows(place.recipe.address, (place.dataset, place.data.path), rows, how)


def _run_row(place: _Place, row: RowRecipe, runs: Sequence[Run], sets: FeatureSets) -> ReproducedRow:
    metrics = _metrics(place.published)
    read = sorted((read_evaluated(run.path, split="test", metrics=metrics) for run in runs), key=lambda r: r.plan.seed)
    columns = {name: [run.figures[name] for run in read] for name in metrics}
    if "epochs" in place.published.columns:
        columns["epochs"] = [float(run.report()["training"]["best_epoch"]) for run in runs]
    return ReproducedRow(
        row.label,
        tuple(place.cell(row.label, name, values) for name, values in columns.items()),
        seeds=len(read),
        features=tuple(read[0].plan.features),
        difference=sets.difference_of(row.features, tuple(read[0].plan.features)),
        runs={run.plan.seed: str(run.path) for run in read},
        settings=read[0].plan.settings,
    )


def _given(rows: Sequence[RowRecipe], asked: ReproduceRequest, place: _Place) -> dict[str, list[Run]]:
    """The runs named on the command line that are of this dataset, by the label of their row."""
    found: dict[str, list[Run]] = {}
    for name, paths in asked.given.items():
        row = _row_of(name, rows, place)
        for path in paths:
            run = Run.open(path)
            if run.plan.model != row.model:
                raise UsageError(f"{path} is a run of {run.plan.model} and row {row.label!r} is of {row.model}")
            if run.plan.dataset["hash"] == place.data.content_hash:
                found.setdefault(row.label, []).append(run)
    for label, runs in found.items():
        seeds = [run.plan.seed for run in runs]
        if len(set(seeds)) < len(seeds):
            raise UsageError(f"row {label!r} was given two runs with one seed; give one of each seed")
    return found


def _by_probes(place: _Place, asked: ReproduceRequest) -> ReproducedTable:
    sets = FeatureSets(place.data, asked.features, distinct=True)
    labels = _labels(place, asked.models)
    found, left_out, remarks = probed_rows(place.data, sets, labels, asked.seeds[0])
    rows = [
        ReproducedRow(
            label,
            tuple(
                place.cell(label, name, [values[name]] if name in values else []) for name in place.published.columns
            ),
            features=sets.tables(label),
            difference=sets.difference(label),
        )
        for label, values in found.items()
    ]
    return place.table(rows, left_out, remarks)


def _by_counting(place: _Place, _asked: ReproduceRequest) -> ReproducedTable:
    counts: dict[str, float] = dict(counts_of(place.data))
    counts["sparsity %"] = 100 * (1 - counts["interactions"] / max(counts["users"] * counts["items"], 1))
    label = next(name for name in ("5-core", "split") if name in place.published.rows(place.dataset))
    cells = tuple(place.cell(label, name, [counts[name]]) for name in place.published.columns)
    others = [name for name in place.published.rows(place.dataset) if name != label]
    return place.table([ReproducedRow(label, cells)], dict.fromkeys(others, "the dataset is what cleaning left of it"))


def _by_cost(place: _Place, asked: ReproduceRequest) -> ReproducedTable:
    sets = FeatureSets(place.data, asked.features)
    kinds = {label: "AlignRec" if label == "AlignRec" else "Amazon" for label in _labels(place, asked.models)}
    left_out = {label: sets.refusal(kind) for label, kind in kinds.items() if not sets.tables(kind)}
    tables = {label: sets.tables(kind) for label, kind in kinds.items() if label not in left_out}
    rows = []
    if tables:
        found = measure_costs(place.data, list(tables), features={label.lower(): t for label, t in tables.items()})
        for label, names in tables.items():
            cost = found.cost(label.lower())
            figures = {"parameters (M)": cost.parameters / 1e6, "inference (s)": cost.inference_seconds}
            cells = tuple(place.cell(label, name, [value]) for name, value in figures.items())
            rows.append(ReproducedRow(label, cells, features=names, difference=sets.difference(kinds[label])))
    return place.table(rows, left_out, ["inference here: the best 20 items of all users on one thread"])


def _metrics(table: PublishedTable) -> tuple[str, ...]:
    return tuple(name for name in table.columns if "@" in name and "%" not in name)


def _row_of(name: str, rows: Sequence[RowRecipe], place: _Place) -> RowRecipe:
    """The row of that label, or else the first of that model."""
    by_label = [row for row in rows if row.label.lower() == name.lower()]
    found = by_label or [row for row in rows if row.model == name.lower()]
    if not found:
        labels = ", ".join(row.label for row in rows)
        raise UsageError(f"no row {name!r} in {place.recipe.address} on {place.dataset}; there are: {labels}")
    return found[0]


def _kept(rows: Sequence[RowRecipe], models: Sequence[str], place: _Place) -> list[RowRecipe]:
    names = [name.lower() for name in models]
    for name in names:
        _row_of(name, rows, place)
    labels = [row.label.lower() for row in rows]  # a name that is a label means that row alone
    of_model = [name for name in names if name not in labels]
    return [row for row in rows if not names or row.label.lower() in names or row.model in of_model]


def _labels(place: _Place, models: Sequence[str]) -> list[str]:
    labels, names = place.published.rows(place.dataset), [name.lower() for name in models]
    unknown = [name for name in names if name not in [label.lower() for label in labels]]
    if unknown:
        raise UsageError(f"no row {unknown[0]!r} in {place.recipe.address}; there are: {', '.join(labels)}")
    return [label for label in labels if not names or label.lower() in names]


def _chosen(row: RowRecipe, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Settings for all rows, then those for its model, then those for its label."""
    found: dict[str, Any] = {}
    for name in ("", row.model, row.label.lower()):
        found |= settings.get(name, {})
    return found
