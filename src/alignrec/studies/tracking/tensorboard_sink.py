"""TensorBoard: one folder of event files per run, for `tensorboard --logdir`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alignrec.errors import UsageError
from alignrec.studies.tracking.sink import Outcome, TrackedRun, TrackingError, missing_extra, series_name

__all__ = ["TensorBoardSink"]


class TensorBoardSink:
    """Writes scalars, the plan as text, and the entry of the HPARAMS page into `to`/NAME, or into RUN/tensorboard.

    What a killed run wrote is read back, so that every epoch is there once.

    Raises:
        MissingExtraError: tensorboard is not installed.
        UsageError: a URI where a folder is meant.
    """

    counts = True

    def __init__(self, folder: Path, to: str | None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # of an extra
        except ImportError:
            raise missing_extra("tensorboard", "tensorboard") from None
        if to and "://" in to:
            raise UsageError(f"tensorboard writes into a folder of this machine, not to {to!r}; give its path")
        self._writer_class = SummaryWriter
        # a folder given by the user is that of several runs, side by side in the tracker's own list
        self._folder = Path(to) / folder.resolve().name if to else folder / "tensorboard"
        self.place = to or ""
        self._last, self._ended = 0, False
        self._writer: Any = None  # Any: tensorboard has no types
        self._session_end: Any = None

    def begin(self, run: TrackedRun, kept: Mapping[str, str] | None) -> Mapping[str, str]:
        """Open the folder; a new run's must hold no other run's events."""
        with self._one_line():
            tags = self._read_back()
            if tags and kept is None:
                raise TrackingError(f"{self._folder} holds the events of another run; choose another --track-to")
            self._writer = self._writer_class(str(self._folder))
            self._describe(run, first="_hparams_/experiment" not in tags)
        return {"folder": self._folder.name}

    def last_epoch(self) -> int:
        """The last epoch in the folder's events."""
        return self._last

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """One point for each value, on disk when this returns; an epoch is one record, so that a kill halves none."""
        with self._one_line():
            self._add(values, epoch)
            self._writer.flush()

    def end(self, outcome: Outcome) -> None:
        """The best values as points at their epoch, the status as a text."""
        with self._one_line():
            if outcome.status == "finished" and not self._ended:
                self._add(outcome.best, outcome.best_epoch)
                self._writer.file_writer.add_summary(self._session_end)
                self._writer.add_text("status", f"{outcome.status} ({outcome.how})", outcome.best_epoch)
            self._writer.close()

    def _add(self, values: Mapping[str, float], epoch: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from torch.utils.tensorboard.summary import scalar

        points = [point for name, value in values.items() for point in scalar(name, value).value]  # type: ignore[no-untyped-call]
        self._writer.file_writer.add_summary(Summary(value=points), epoch)

    def _describe(self, run: TrackedRun, *, first: bool) -> None:
        from torch.utils.tensorboard.summary import hparams

        best = series_name(f"best/{run.parameters['training.metric']}")
        experiment, session_start, self._session_end = hparams(run.texts(), {best: 0.0})  # type: ignore[no-untyped-call]
        if first:
            self._writer.file_writer.add_summary(experiment)
            self._writer.file_writer.add_summary(session_start)
            rows = [f"| {name} | {value} |" for name, value in run.texts().items()]
            self._writer.add_text("plan", "\n".join(["| setting | value |", "|---|---|", *rows]))
            self._writer.flush()

    def _read_back(self) -> set[str]:
        """Every tag in the folder; remembers the last epoch and whether the end is written."""
        tags: set[str] = set()
        for event in self._events():
            for value in event.summary.value:
                tags.add(value.tag)
                if value.tag == "lr":
                    self._last = max(self._last, int(event.step))
        self._ended = "status/text_summary" in tags
        return tags

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrackingError(f"tensorboard cannot use {self._folder}: {error}") from None

    def _events(self) -> Iterator[Any]:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        for path in sorted(self._folder.glob("events.out.tfevents.*")):
            yield from EventFileLoader(str(path)).Load()
