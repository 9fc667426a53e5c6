"""Progress of long jobs: a live line with an ETA on a terminal, nothing in a pipe.

Progress goes to standard error, so that standard output stays for results.
"""

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Reporter", "progress_bar", "track"]

_T = TypeVar("_T")


class Reporter(Protocol):
    """What a long job calls as it goes on."""

    def advance(self, steps: int = 1, text: str | None = None) -> None:
        """Say that `steps` more are done and, if given, show `text` beside the bar."""


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1, text: str | None = None) -> None:
        self._progress.update(self._task, advance=steps)
        if text is not None:
            self._progress.update(self._task, text=text)


@contextmanager
def progress_bar(label: str, total: int | None, done: int = 0, *, console: Console | None = None) -> Iterator[Reporter]:
    """A bar of `total` steps, `done` of them already; shows elapsed time and ETA. Silent off a terminal."""
    console = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        yield _Bar(progress, progress.add_task(label, total=total, completed=done, text=""))


def track(values: Iterable[_T], label: str, total: int | None = None) -> Iterator[_T]:
    """Iterate over `values` under a progress bar."""
    size = len(values) if total is None and isinstance(values, Sized) else total
    with progress_bar(label, size) as bar:
        for value in values:
            yield value
            bar.advance()
