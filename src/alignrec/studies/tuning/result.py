"""What a search found: all trials, the one chosen on validation, and the commands that make and measure it again."""

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from alignrec.artifacts import write_bytes, write_json
from alignrec.settings import by_full_name
from alignrec.studies.run_folder import Run
from alignrec.studies.tuning.proposals import SamplerName
from alignrec.studies.tuning.trials import PrunerName, Trial

__all__ = ["SELECTED_ON_TEST", "TuneResult", "TuneTask", "run_folders"]

SELECTED_ON_TEST = (
    "warning: the trial was selected on the split it is measured on; the number is optimistic and not a result. "
    "Report the trial selected on validation"
)
_FORMAT = 1
_DIGITS = 4


@dataclass(frozen=True)
class TuneTask:
    """What was asked for, resolved: equal tasks are one search."""

    model: str
    dataset: Mapping[str, str]  # name, hash
    features: Mapping[str, str]  # name -> hash of its values
    plugins: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Any]]  # section -> those that are fixed
    space: Mapping[str, Any]  # full name of a setting -> values, or a range in words
    sampler: SamplerName
    seed: int
    seeds: tuple[int, ...]
    pruner: PrunerName
    metric: str

    def as_json(self) -> dict[str, Any]:
        """The head of tune.json."""
        values: dict[str, Any] = json.loads(json.dumps(vars(self)))
        return values

    def difference(self, stored: Mapping[str, Any]) -> str | None:
        """The first thing in which the task in tune.json is another one, in words."""
        for key, value in self.as_json().items():
            before = stored.get(key)
            if before == value:
                continue
            if isinstance(before, Mapping) and isinstance(value, Mapping):
                name = next(name for name in [*before, *value] if before.get(name) != value.get(name))
                return f"{key} {name} was {before.get(name)!r}, now {value.get(name)!r}"
            return f"{key} was {before!r}, now {value!r}"
        return None


def run_folders(folder: Path, number: int, seeds: Sequence[int]) -> dict[int, Path]:
    """Seed -> run folder of a trial; of several seeds each has its own."""
    trial = folder / "trials" / f"{number:04d}"
    return {seed: trial if len(seeds) == 1 else trial / f"seed-{seed}" for seed in seeds}


@dataclass(frozen=True)
class TuneResult:
    """A search, finished or on its way."""

    folder: Path
    task: TuneTask
    dataset: Path
    planned: int
    trials: tuple[Trial, ...]
    tests: Mapping[int, float] = field(default_factory=dict)
    """Trial -> its mean on the test split; only where the search was asked what selecting on test would say."""

    @property
    def best(self) -> Trial | None:
        """The finished trial that validates best; of equals the first."""
        finished = [trial for trial in self.trials if trial.state == "complete"]
        return max(finished, key=lambda trial: trial.value or 0.0, default=None)

    @property
    def best_on_test(self) -> Trial | None:
        """The trial that selecting on test would name."""
        return max(
            (trial for trial in self.trials if trial.number in self.tests),
            key=lambda trial: self.tests[trial.number],
            default=None,
        )

    def count(self, *states: str) -> int:
        """Number of trials in these states."""
        return sum(trial.state in states for trial in self.trials)

    def runs(self, trial: Trial) -> dict[int, Path]:
        """Seed -> run folder."""
        return run_folders(self.folder, trial.number, self.task.seeds)

    def train_commands(self, trial: Trial) -> list[str]:
        """The commands that train the trial's runs again, each into a new folder beside the search's."""
        again = self.folder.parent / f"{self.folder.name}-trial-{trial.number}"
        several = len(self.task.seeds) > 1
        return [
            self.train_command(trial.parameters, seed, run.plan.device, run.plan.threads, out)
            for seed, path in self.runs(trial).items()
            if (run := Run(path)).started
            for out in [again.with_name(f"{again.name}-seed-{seed}") if several else again]
        ]

    def train_command(self, parameters: Mapping[str, Any], seed: int, device: str, threads: int, out: Path) -> str:
        """The command that trains one run."""
        task = self.task
        words = ["alignrec", "train", str(self.dataset), "--model", task.model]
        for name in task.features:
            words += ["--features", name]
        for name in task.plugins:
            words += ["--plugin", name]
        for name, value in {**by_full_name(task.settings), **parameters}.items():
            words += ["--set", f"{name}={_text(value)}"]
        words += ["--seed", str(seed), "--device", device, "--threads", str(threads), "--out", str(out)]
        return shlex.join(words)

    def evaluate_commands(self, trial: Trial) -> list[str]:
        """The commands that open the test split for a trial's runs."""
        metrics = [] if self.task.metric.endswith(("@5", "@10", "@20", "@50")) else ["--metric", self.task.metric]
        return [shlex.join(["alignrec", "evaluate", str(path), *metrics]) for path in self.runs(trial).values()]

    def to_terminal(self) -> Table:
        """For a terminal: a row per trial, the best one bold."""
        heads = [*_short_names(tuple(self.task.space)), f"valid {self.task.metric}"]
        table = Table()
        table.add_column("trial", justify="right")
        for head in [*heads, *([f"test {self.task.metric}"] if self.tests else []), "epochs"]:
            table.add_column(head, justify="right")
        table.add_column("state")
        for trial in self.trials:
            cells = [str(trial.number), *(_text(trial.parameters[name]) for name in self.task.space)]
            cells.append("" if trial.value is None else f"{trial.value:.{_DIGITS}f}")
            if self.tests:
                cells.append(f"{self.tests[trial.number]:.{_DIGITS}f}" if trial.number in self.tests else "")
            cells += [" ".join(map(str, trial.epochs.values())), trial.state]
            table.add_row(*map(Text, cells), style="bold" if trial == self.best else None)
        return table

    def to_csv(self) -> str:
        """One line per trial, in full precision."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        several = self.task.seeds if len(self.task.seeds) > 1 else ()
        heads = ["trial", "state", *self.task.space, f"valid.{self.task.metric}"]
        heads += [f"valid.{self.task.metric}.seed-{seed}" for seed in several]
        writer.writerow([*heads, *([f"test.{self.task.metric}"] if self.tests else []), "epochs", "reason"])
        for trial in self.trials:
            line = [
                trial.number,
                trial.state,
                *(_text(trial.parameters[name]) for name in self.task.space),
                trial.value,
            ]
            line += [trial.values.get(seed) for seed in several]
            line += [self.tests.get(trial.number)] if self.tests else []
            writer.writerow([*line, " ".join(map(str, trial.epochs.values())), trial.reason])
        return text.getvalue()

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """The result as a JSON object."""
        found: dict[str, Any] = {
            "metric": self.task.metric,
            "planned": self.planned,
            "trials": [self._described(trial) for trial in self.trials],
            "best": self._chosen(self.best),
        }
        if self.tests:
            found["selected_on_test"] = {**(self._chosen(self.best_on_test) or {}), "warning": SELECTED_ON_TEST}
        return found

    def save(self) -> None:
        """Write tune.csv and tune.json into the folder."""
        write_bytes(self.folder / "tune.csv", self.to_csv().encode())
        content = {"format": _FORMAT, "asked": self.task.as_json(), "result": self.as_dict()}
        write_json(self.folder / "tune.json", content)

    def _described(self, trial: Trial) -> dict[str, Any]:
        record: dict[str, Any] = {"trial": trial.number, "state": trial.state, "parameters": dict(trial.parameters)}
        record |= {"valid": trial.value, "valid_by_seed": {str(seed): value for seed, value in trial.values.items()}}
        record |= {"epochs": {str(seed): count for seed, count in trial.epochs.items()}, "reason": trial.reason}
        record["runs"] = {str(seed): str(path) for seed, path in self.runs(trial).items()}
        return record | ({"test": self.tests.get(trial.number)} if self.tests else {})

    def _chosen(self, trial: Trial | None) -> dict[str, Any] | None:
        if trial is None:
            return None
        return {**self._described(trial), "train": self.train_commands(trial), "next": self.evaluate_commands(trial)}


def _short_names(names: Sequence[str]) -> list[str]:
    """The last part of each name where that is enough to tell them apart."""
    last = [name.rpartition(".")[2] for name in names]
    return [short if last.count(short) == 1 else name for short, name in zip(last, names, strict=True)]


def _text(value: Any) -> str:
    """A value as `--set` reads it."""
    return value if isinstance(value, str) else json.dumps(value)
