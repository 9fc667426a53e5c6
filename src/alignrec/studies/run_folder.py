"""A run folder: what was asked for, what came out. `run.json` is written first and never changes.

run.json · metrics.jsonl · timing.jsonl · model.safetensors · representations.safetensors · report.json ·
per_user.parquet · checkpoint/ while it runs. A run is finished when `report.json` is there.
"""

import platform
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alignrec.artifacts import read_arrays, read_json, write_json
from alignrec.data import Dataset
from alignrec.errors import ArtifactError
from alignrec.types import Embeddings

__all__ = ["PLUGIN_PREFIX", "WITHOUT_EFFECT", "Run", "RunPlan"]

PLUGIN_PREFIX = "plugin."  # of the settings sections of plug-ins
WITHOUT_EFFECT = ("training.checkpoint_seconds",)  # settings that change no number: a run may go on with others
_FORMAT = 1


@dataclass(frozen=True)
class RunPlan:
    """Everything that decides a run's result, resolved: equal plans on one machine give equal bytes."""

    model: str
    dataset: Mapping[str, str]  # name, hash
    features: Mapping[str, str]  # name -> hash of its values
    settings: Mapping[str, Mapping[str, Any]]  # section -> all settings, defaults included
    seed: int
    device: str
    threads: int
    code: Mapping[str, str] = field(default_factory=dict)  # model or plug-in of somebody's own -> hash of its code
    versions: Mapping[str, str] = field(default_factory=lambda: _versions())

    @property
    def plugins(self) -> dict[str, Mapping[str, Any]]:
        """Name of every attached plug-in -> its settings."""
        sections = {name: values for name, values in self.settings.items() if name.startswith(PLUGIN_PREFIX)}
        return {name.removeprefix(PLUGIN_PREFIX): values for name, values in sections.items()}

    @property
    def effective_settings(self) -> dict[str, dict[str, Any]]:  # Any: values of settings
        """Those that some number depends on."""
        return {
            section: {name: value for name, value in values.items() if f"{section}.{name}" not in WITHOUT_EFFECT}
            for section, values in self.settings.items()
        }

    def difference(self, other: "RunPlan") -> str | None:
        """The first thing in which two plans differ, in words, or None; versions and `WITHOUT_EFFECT` do not count."""
        if set(self.plugins) != set(other.plugins):
            before, after = (", ".join(plan.plugins) or "none" for plan in (other, self))
            return f"plugins were {before}, now {after}"
        ours, theirs = (asdict(replace(plan, settings=plan.effective_settings, versions={})) for plan in (self, other))
        for key in ours:
            if ours[key] != theirs[key]:
                return f"{key} {_shortest_difference(theirs[key], ours[key])}"
        orders = [", ".join(plan.features) for plan in (other, self)]
        if orders[0] != orders[1]:  # parameters are drawn in the order of the tables
            return f"features were in the order {orders[0]}, now {orders[1]}"
        return None


def _versions() -> dict[str, str]:
    """Versions that numbers may depend on."""
    return {
        "alignrec": version("alignrec"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def _shortest_difference(old: Any, new: Any) -> str:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *new]:
            if old.get(key) != new.get(key):
                return f"{key}: {_shortest_difference(old.get(key), new.get(key))}"
    return f"was {old!r}, now {new!r}"


@dataclass(frozen=True)
class Run:
    """A run on disk."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """The finished run in folder `path`.

        Raises:
            ArtifactError: no run there, or one that is not finished.
        """
        run = cls(Path(path))
        if not run.started:
            raise ArtifactError(f"no run in {path}; train one with 'alignrec train DATASET --model NAME --out {path}'")
        if not run.finished:
            raise ArtifactError(f"the run in {path} is not finished; go on with its command and --resume")
        return run

    @property
    def started(self) -> bool:
        """Whether `run.json` is there."""
        return (self.path / "run.json").is_file()

    @property
    def finished(self) -> bool:
        """Whether training ended and its results are there."""
        return all((self.path / name).is_file() for name in ("report.json", "representations.safetensors"))

    @property
    def plan(self) -> RunPlan:
        """What was asked for."""
        stored = self._stored()
        return RunPlan(**{key: stored[key] for key in RunPlan.__dataclass_fields__ if key in stored})

    @property
    def dataset_path(self) -> Path:
        """Where the dataset was when the run began."""
        return Path(self._stored()["dataset_path"])

    def _stored(self) -> dict[str, Any]:
        stored = read_json(self.path / "run.json")
        if stored.get("format") != _FORMAT:
            raise ArtifactError(f"{self.path} has run format {stored.get('format')!r}, this version reads {_FORMAT}")
        required = [of.name for of in fields(RunPlan) if of.default_factory is MISSING]
        lacking = [name for name in (*required, "dataset_path") if name not in stored]
        if lacking:
            raise ArtifactError(f"{self.path / 'run.json'} lacks {', '.join(lacking)}; train the run anew")
        return stored

    def start(self, plan: RunPlan, dataset_path: Path, command: str) -> None:
        """Write `run.json`."""
        self.path.mkdir(parents=True, exist_ok=True)
        where = {"dataset_path": str(dataset_path.resolve()), "command": command}
        write_json(self.path / "run.json", {"format": _FORMAT, **asdict(plan), **where})

    def dataset(self, path: str | Path | None = None) -> Dataset:
        """The dataset the run was trained on, from `path` if it has moved.

        Raises:
            ArtifactError: no dataset is there, or another one.
        """
        if path is None and not self.dataset_path.is_dir():
            raise ArtifactError(
                f"the dataset of {self.path} is no longer at {self.dataset_path}; name the folder where it is now"
            )
        dataset = Dataset.load(self.dataset_path if path is None else path)
        if dataset.content_hash != self.plan.dataset["hash"]:
            raise ArtifactError(f"{dataset.path} is not the dataset that {self.path} was trained on; give its folder")
        return dataset

    def embeddings(self) -> Embeddings:
        """What the run scores with.

        Raises:
            ArtifactError: the file with it is damaged, or another.
        """
        arrays = read_arrays(self.path / "representations.safetensors")
        if not {"final.users", "final.items"} <= arrays.keys():
            raise ArtifactError(f"{self.path / 'representations.safetensors'} is of no run; train the run anew")
        return Embeddings(torch.from_numpy(arrays["final.users"]), torch.from_numpy(arrays["final.items"]))

    def selected(self) -> dict[str, float]:
        """Validation metrics of the kept weights as training measured them, whatever was evaluated since."""
        report = self.report()
        values: dict[str, float] = report.get("selected", report["valid"])
        return values

    def report(self) -> dict[str, Any]:
        """`report.json`: metrics by split and how training ended."""
        return read_json(self.path / "report.json")
