"""A search at work: claims trials one by one, trains each into its run folder, and keeps the result up to date."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from alignrec.artifacts import read_json
from alignrec.data import Dataset
from alignrec.errors import ArtifactError, SettingsError, TrainingError
from alignrec.evaluation import DEFAULT_METRICS
from alignrec.studies.evaluation import evaluate
from alignrec.studies.run_folder import Run
from alignrec.studies.training import TrainingStoppedError, train
from alignrec.studies.tuning.proposals import Proposals
from alignrec.studies.tuning.result import TuneResult, TuneTask, run_folders
from alignrec.studies.tuning.space import Space
from alignrec.studies.tuning.trials import Claim, TrialBook
from alignrec.training import Observer

__all__ = ["Search", "Training"]

_FAILURES = (SettingsError, TrainingError, torch.OutOfMemoryError)  # of one trial; the next may do


@dataclass(frozen=True)
class Training:
    """How a trial is trained, whatever its settings."""

    device: str
    threads: int
    epochs: int
    """At most."""


class Search:
    """The search in a folder, shared with other processes."""

    def __init__(
        self, data: Dataset, folder: Path, task: TuneTask, space: Space, planned: int, training: Training
    ) -> None:
        """Begin the search, or go on with it.

        Raises:
            ArtifactError: the folder holds another search, or something else.
        """
        self._data, self._folder, self._task, self._space = data, folder, task, space
        self._planned, self._training = planned, training
        self._proposals = Proposals(space, task.sampler, task.seed)
        if folder.exists() and (not folder.is_dir() or not _is_search(folder)):
            raise ArtifactError(f"{folder} exists and is not a search; choose another --out")
        folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if (folder / "tune.json").is_file():
                difference = task.difference(read_json(folder / "tune.json").get("asked", {}))
                if difference:
                    raise ArtifactError(f"{folder} holds another search: {difference}; choose another --out")
            self._book = TrialBook(folder, space, pruner=task.pruner, epochs=training.epochs)
            self.result().save()

    def close(self) -> None:
        """Let go of the record."""
        self._book.close()

    def progress(self) -> str:
        """What has been done before, in words; nothing of a new search."""
        done = self.result().count("complete", "pruned", "failed")
        return f"; {done} are done" if done else ""

    def work(self, announce: Callable[[str], None]) -> None:
        """Run trials until all are taken.

        Raises:
            TrainingStoppedError: Ctrl-C was pressed.
        """
        began, mine = time.perf_counter(), 0
        while claim := self._claim():
            with self._book.held(claim):
                self._run(claim)
            mine += 1
            with self._alone():
                result = self.result()
                result.save()
            left = self._planned - result.count("complete", "pruned", "failed")
            pace = (time.perf_counter() - began) / mine
            ahead = f"; {left} to go, ETA {_duration(left * pace)}" if left > 0 else ""
            announce(_line(result, claim) + ahead)

    def result(self) -> TuneResult:
        """Everything so far."""
        return TuneResult(self._folder, self._task, self._dataset, self._planned, self._book.trials())

    def measured_on_test(self, result: TuneResult) -> TuneResult:
        """The same with every finished trial measured on the test split, to show what selecting on it would say."""
        metric, tests = self._task.metric, {}
        for trial in result.trials:
            if trial.state == "complete":
                values = [self._on_test(path, metric) for path in result.runs(trial).values()]
                tests[trial.number] = sum(values) / len(values)
        measured = replace(result, tests=tests)
        with self._alone():
            measured.save()
        return measured

    @property
    def _dataset(self) -> Path:
        assert self._data.path is not None
        return self._data.path

    def _on_test(self, path: Path, metric: str) -> float:
        known = Run(path).report().get("test", {})
        if metric in known:
            return float(known[metric])
        reports = evaluate(path, metrics=tuple(dict.fromkeys([*DEFAULT_METRICS, metric])), dataset=self._dataset)
        return float(reports.model["test"].means[metric])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder: no other process claims a trial or writes results meanwhile."""
        from filelock import FileLock  # an extra

        with FileLock(self._folder / "tune.lock"):
            yield

    def _claim(self) -> Claim | None:
        with self._alone():
            return self._book.claim(self._planned, self._proposals.next)

    def _run(self, claim: Claim) -> None:
        from optuna import TrialPruned  # an extra

        values: dict[int, float] = {}
        epochs: dict[int, int] = {}
        folders = run_folders(self._folder, claim.number, self._task.seeds)
        try:
            for seed, folder in folders.items():
                # the first seed decides whether the trial is worth going on with
                watched = self._task.pruner != "none" and not values
                watch = (self._observer(claim, seed, epochs),) if watched else ()
                report = self._train(claim, seed, folder, watch)
                values[seed] = Run(folder).selected()[self._task.metric]
                epochs[seed] = int(report["training"]["epochs"])
        except TrialPruned:
            shutil.rmtree(folder / "checkpoint", ignore_errors=True)
            self._book.prune(claim, epochs)
        except TrainingStoppedError as error:
            raise TrainingStoppedError(
                f"trial {claim.number} {_first(error)}; the same command goes on with it"
            ) from None
        except _FAILURES as error:
            self._book.fail(claim, _first(error))
        else:
            self._book.complete(claim, values, epochs)

    def _train(self, claim: Claim, seed: int, folder: Path, watch: tuple[Observer, ...]) -> Mapping[str, Any]:
        run, device, threads = Run(folder), self._training.device, self._training.threads
        if run.started:  # maybe by a process with other ones
            device, threads = run.plan.device, run.plan.threads
        command = self.result().train_command(claim.parameters, seed, device, threads, folder)
        train(
            self._data,
            model=self._task.model,
            out=folder,
            features=tuple(self._task.features),
            plugins=self._task.plugins,
            settings=self._space.sections(claim.parameters),
            seed=seed,
            device=device,
            threads=threads,
            resume=True,
            observers=watch,
            command=command,
        )
        return run.report()

    def _observer(self, claim: Claim, seed: int, epochs: dict[int, int]) -> Observer:
        from optuna import TrialPruned  # an extra

        def observe(line: Mapping[str, Any], _objective: object) -> None:
            if "valid" not in line:
                return
            epochs[seed] = line["epoch"]
            if self._book.prunes(claim, line["epoch"], line["valid"][self._task.metric]):
                raise TrialPruned

        return observe


def _is_search(folder: Path) -> bool:
    """Whether a search is there, or one that was cut short at its beginning, or nothing."""
    names = {path.name for path in folder.iterdir()}
    return "tune.json" in names or all(name == "locks" or name.lstrip(".").startswith("tune.") for name in names)


def _line(result: TuneResult, claim: Claim) -> str:
    trial, best = result.trials[claim.number], result.best
    settings = " ".join(f"{name}={value}" for name, value in trial.parameters.items())
    value = "" if trial.value is None else f" {trial.value:.4f}"
    leader = f" (best {best.value:.4f}, trial {best.number})" if best else ""
    return f"trial {trial.number} {trial.state}{value}: {settings}{leader}"


def _first(error: Exception) -> str:
    return " ".join(str(error).split()).partition(";")[0]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
