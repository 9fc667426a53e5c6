"""The cells of a study: every row on every dataset with every seed, each a run known by a key.

The key is a hash of what decides a run's numbers: dataset, features, model, plug-ins, settings, seed. A finished run
with that key anywhere among the study's runs is the cell's, whoever trained it and whatever its folder is called.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from alignrec.data import Dataset
from alignrec.errors import ArtifactError, SettingsError
from alignrec.losses import plugin_class
from alignrec.models import model_class
from alignrec.studies.run_folder import PLUGIN_PREFIX, Run, RunPlan
from alignrec.studies.run_identity import run_key, with_present_settings
from alignrec.studies.run_planning import plan_run
from alignrec.studies.study_settings import StudySettings, sections
from alignrec.training import TrainingSettings

__all__ = ["Cell", "find_runs", "study_cells"]


@dataclass(frozen=True)
class Cell:
    """One run that a study asks for."""

    label: str  # of its row
    dataset: str  # as the study calls it
    folder: Path  # of the dataset
    plan: RunPlan

    @property
    def key(self) -> str:
        """Equal for equal numbers."""
        return run_key(self.plan)

    def request(self) -> dict[str, Any]:  # Any: JSON values
        """The arguments of `studies.train` but `out`, as JSON values."""
        plan = self.plan
        return {
            "dataset": str(self.folder),
            "model": plan.model,
            "features": list(plan.features),
            "plugins": list(plan.plugins),
            "settings": {name: dict(values) for name, values in plan.settings.items()},
            "seed": plan.seed,
            "device": plan.device,
            "threads": plan.threads,
        }

    def command(self, out: str | Path) -> str:
        """The `alignrec train` command of this cell for a shell: settings that are not the defaults are named."""
        plan = self.plan
        words = ["alignrec", "train", str(self.folder), "--model", plan.model]
        words += [word for name in plan.features for word in ("--features", name)]
        words += [word for name in plan.plugins for word in ("--plugin", name)]
        words += [word for text in sorted(_chosen(plan)) for word in ("--set", text)]
        return shlex.join([*words, "--seed", str(plan.seed), "--out", str(out)])


def study_cells(study: StudySettings, *, device: str = "cpu") -> list[Cell]:
    """All cells, by dataset, then row, then seed; every name and setting in them is checked.

    Raises:
        SettingsError: an unknown model, plug-in or setting.
        ArtifactError: a dataset that is not there.
        FeatureError: features that it does not have.
    """
    found = []
    for name, folder in study.datasets.items():
        data = Dataset.load(folder)
        for label, row in study.expanded():
            if not row.is_on(name):
                continue
            for seed in row.seeds or study.seeds:
                plan = plan_run(
                    data,
                    row.model,
                    row.features_on(name),
                    row.plugins,
                    sections(row.settings),
                    seed,
                    torch.device(device),
                    1,
                )
                found.append(Cell(label, name, Path(folder), plan))
    _refuse_twins(found)
    return found


def find_runs(folder: Path) -> dict[str, Run]:
    """The finished runs in the folders directly under `folder`, by key; what cannot be read is not a run."""
    return dict(_keyed_runs(folder))


def _keyed_runs(folder: Path) -> Iterator[tuple[str, Run]]:
    for path in sorted(folder.glob("*/run.json")):
        run = Run(path.parent)
        if not run.finished:
            continue
        try:
            yield run_key(with_present_settings(run.plan)), run
        except (ArtifactError, SettingsError):  # of another version: not what is asked for here
            continue


def _chosen(plan: RunPlan) -> Iterator[str]:
    """Every setting that is not the model's default, as `--set` takes it."""
    cls = model_class(plan.model)
    standard: dict[str, Mapping[str, Any]] = {
        "model": cls.Config().model_dump(),
        "training": TrainingSettings.create(cls.training_defaults).model_dump(),
        **{PLUGIN_PREFIX + name: plugin_class(name).Config().model_dump() for name in plan.plugins},
    }
    for section, values in plan.settings.items():
        for key, value in values.items():
            if value != standard[section][key]:
                yield f"{section}.{key}={_yaml(value)}"


def _yaml(value: Any) -> str:  # Any: a setting's value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml(each) for each in value) + "]"
    return str(value)


def _refuse_twins(cells: list[Cell]) -> None:
    """Rows that differ in nothing, or in their seeds alone: the tables would show them as one."""
    seen: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        first = seen.setdefault((cell.dataset, run_key(replace(cell.plan, seed=0))), cell)
        if first.label != cell.label:
            raise SettingsError(
                f"rows {first.label!r} and {cell.label!r} are one and the same run on {cell.dataset}, whatever their "
                "seeds; take one of them out"
            )
