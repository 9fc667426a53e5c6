"""Weights & Biases: its own environment variables say where (`WANDB_MODE`, `WANDB_PROJECT`, `WANDB_BASE_URL`)."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alignrec.errors import UsageError
from alignrec.studies.tracking.sink import Outcome, TrackedRun, TrackingError, missing_extra

__all__ = ["WandbSink"]

_PROJECT = "alignrec"


class WandbSink:
    """A run of the project `alignrec`, or of `WANDB_PROJECT`; its files are in RUN/wandb.

    With `WANDB_MODE=offline` nothing leaves the machine; `wandb sync RUN/wandb/offline-run-*` sends it later.

    Raises:
        MissingExtraError: wandb is not installed.
        UsageError: a place is given.
    """

    counts = False  # offline, what was told before cannot be asked

    def __init__(self, folder: Path, to: str | None) -> None:
        if to:
            raise UsageError(
                f"wandb takes no place (given: {to!r}); say it by WANDB_MODE, WANDB_PROJECT or WANDB_BASE_URL"
            )
        try:
            from wandb import Error, Settings, init  # of an extra
        except ImportError:
            raise missing_extra("wandb", "wandb") from None
        self._init, self._settings, self._error = init, Settings, Error
        self._folder = folder
        self.place = ""
        self._run: Any = None  # Any: wandb is an extra

    def begin(self, run: TrackedRun, kept: Mapping[str, str] | None) -> Mapping[str, str]:
        """Open a run with a new id, or the one that was kept."""
        run_id = kept["run_id"] if kept else secrets.token_hex(4)
        with self._one_line():
            self._run = self._init(
                project=os.environ.get("WANDB_PROJECT") or _PROJECT,
                name=run.name,
                id=run_id,
                resume="allow",
                dir=str(self._folder),
                config=dict(run.parameters),
                # the terminal and the repository are the user's
                settings=self._settings(console="off", silent=True, disable_git=True),
            )
        return {"run_id": run_id}

    def last_epoch(self) -> int:
        """Not known here."""
        return 0

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """One step with all values; wandb sends it in the background."""
        with self._one_line():
            self._run.log(dict(values), step=epoch, commit=True)

    def end(self, outcome: Outcome) -> None:
        """The best values and the status as the run's summary."""
        with self._one_line():
            self._run.summary.update({**outcome.best, "status": outcome.status})
            if outcome.status == "finished":
                self._run.summary.update({"best_epoch": outcome.best_epoch, "ended_by": outcome.how})
            self._run.finish(exit_code=0 if outcome.status == "finished" else 1)

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except (self._error, OSError) as error:
            about = str(error).strip().partition("\n")[0]
            raise TrackingError(f"wandb says: {about}") from None
