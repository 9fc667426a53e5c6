"""Following a run with a tracker of experiments: TensorBoard, MLflow, Weights & Biases.

A tracker is a mirror of metrics.jsonl: it is told the epochs it lacks, each once. So a killed run that goes on, a
tracker that could not be reached for a while, and one that is asked for only afterwards all end the same way. What is
kept to find a tracker's run again is in tracking.json. Nothing that trains depends on any of it.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from alignrec.artifacts import read_json, write_json
from alignrec.errors import UsageError
from alignrec.studies.run_folder import Run
from alignrec.studies.tracking.mlflow_sink import MlflowSink
from alignrec.studies.tracking.sink import Outcome, Sink, TrackedRun, TrackingError, epoch_values, series_name
from alignrec.studies.tracking.tensorboard_sink import TensorBoardSink
from alignrec.studies.tracking.wandb_sink import WandbSink

__all__ = ["TRACKERS", "Tracker", "tracker_places"]

TRACKERS: Mapping[str, Callable[[Path, str | None], Sink]] = {
    "tensorboard": TensorBoardSink,
    "mlflow": MlflowSink,
    "wandb": WandbSink,
}
_PLACED = ("tensorboard", "mlflow")  # whose place can be given


def tracker_places(names: Sequence[str], given: Sequence[str]) -> dict[str, str | None]:
    """Name of a tracker -> its place or None, from `--track NAME` and `--track-to [NAME=]PLACE`.

    Raises:
        UsageError: a place without a tracker that it is for.
    """
    found: dict[str, str | None] = dict.fromkeys(names)
    for text in given:
        name, equals, place = text.partition("=")
        if not (equals and name in TRACKERS):
            takers = [name for name in found if name in _PLACED]
            if len(takers) != 1:
                raise UsageError(
                    f"cannot tell which tracker --track-to {text!r} is for; write --track NAME --track-to NAME=PLACE, "
                    f"NAME one of {', '.join(_PLACED)}"
                )
            name, place = takers[0], text
        if name not in found:
            raise UsageError(f"--track-to {text!r} is for {name}, which is not asked for; add --track {name}")
        if found[name] is not None:
            raise UsageError(f"--track-to names two places for {name}; keep one")
        found[name] = place
    return found


class Tracker:
    """Follows the run in `folder` with the trackers named in `wanted`, which maps a name to its place or None.

    Making it writes nothing.

    Raises:
        UsageError: an unknown tracker, or a place that it does not take.
        MissingExtraError: a tracker that is not installed.
    """

    def __init__(self, folder: Path, wanted: Mapping[str, str | None]) -> None:
        for name in wanted:
            if name not in TRACKERS:
                raise UsageError(f"unknown tracker {name!r}; allowed: {', '.join(TRACKERS)}")
        self._run = Run(folder)
        self._followers = [_Follower(name, TRACKERS[name](folder, place), folder) for name, place in wanted.items()]

    def observe(self, line: Mapping[str, Any], _objective: nn.Module) -> None:  # Any: a line of metrics.jsonl
        """Tell an epoch; an observer of training. A tracker that fails is said, and does not end the training."""
        for follower in self._followers:
            follower.tell(line)

    @contextmanager
    def following(self, stopped: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
        """Begin with every tracker, and say at the end how the block ended.

        `stopped` are the exceptions which say that the run can go on; any other says that it failed.

        Raises:
            TrackingError: a tracker cannot be begun with; nothing was trained then.
        """
        if all(follower.done for follower in self._followers):
            yield
            return
        run = TrackedRun.of(self._run)
        try:
            for follower in self._followers:
                follower.begin(run)
            yield
        except BaseException as error:
            self._end(Outcome("interrupted" if isinstance(error, (KeyboardInterrupt, *stopped)) else "failed"))
            raise
        self._end(self._outcome())

    def _outcome(self) -> Outcome:
        report = self._run.report()
        best = {series_name(f"best/{name}"): float(value) for name, value in self._run.selected().items()}
        return Outcome("finished", report["training"]["best_epoch"], best, report["training"]["status"])

    def _end(self, outcome: Outcome) -> None:
        for follower in self._followers:
            follower.end(outcome)


class _Follower:
    """One tracker and what is kept of it in tracking.json."""

    def __init__(self, name: str, sink: Sink, folder: Path) -> None:
        self._name, self._sink, self._folder = name, sink, folder
        self._told, self._wait, self._silent_until = 0, 1, 0  # epochs
        self._open = False
        kept = self._kept().get(name)
        # at another place the run is a new one, and told from its first epoch
        self._mine = kept if kept is not None and kept["place"] == sink.place else None

    @property
    def done(self) -> bool:
        """Whether the tracker knows the end of the run already."""
        return self._mine is not None and self._mine["ended"]

    def begin(self, run: TrackedRun) -> None:
        if self.done:
            return
        try:
            kept = self._sink.begin(run, self._mine["kept"] if self._mine else None)
            known = int(self._mine["epoch"]) if self._mine else 0
            self._told = self._sink.last_epoch() if self._sink.counts else known
        except TrackingError as error:
            raise TrackingError(f"{error} (nothing is lost: the run goes on with --resume)") from None
        self._open = True
        self._keep({"place": self._sink.place, "kept": dict(kept), "epoch": self._told, "ended": False})

    def tell(self, line: Mapping[str, Any]) -> None:
        epoch = int(line["epoch"])
        if not self._open or epoch <= self._told or epoch < self._silent_until:
            return
        try:
            for missing in [line] if epoch == self._told + 1 else self._lacking():
                self._tell_one(missing)
        except TrackingError as error:
            # a server that is down takes long to ask
            self._silent_until, self._wait = epoch + self._wait, self._wait * 2
            _say(f"{error}; training goes on, what is missing is told later")
        else:
            self._wait = 1

    def end(self, outcome: Outcome) -> None:
        if not self._open:
            return
        try:
            for line in self._lacking():
                self._tell_one(line)
            self._sink.end(outcome)
        except TrackingError as error:
            _say(f"{error}; {self._name} lacks the end of this run, the same command with --resume tells it")
            return
        self._keep({"epoch": self._told, "ended": outcome.status == "finished"})

    def _tell_one(self, line: Mapping[str, Any]) -> None:
        self._sink.log(int(line["epoch"]), epoch_values(line))
        self._told = int(line["epoch"])
        if not self._sink.counts:
            self._keep({"epoch": self._told})

    def _lacking(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl that the tracker has not."""
        path = self._folder / "metrics.jsonl"
        if not path.is_file():
            return []
        whole = [text for text in path.read_text(encoding="utf-8").splitlines(keepends=True) if text.endswith("\n")]
        return [line for line in map(json.loads, whole) if line["epoch"] > self._told]

    def _kept(self) -> dict[str, Any]:
        path = self._folder / "tracking.json"
        return read_json(path) if path.is_file() else {}

    def _keep(self, values: Mapping[str, Any]) -> None:
        self._mine = {**(self._mine or {}), **values}
        write_json(self._folder / "tracking.json", {**self._kept(), self._name: self._mine})


def _say(line: str) -> None:
    sys.stderr.write(f"alignrec: {line}\n")
