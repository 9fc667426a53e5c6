"""Progress of long jobs: a live line with rate and ETA on a terminal, and at the end one that stays; in a pipe nothing.

Progress goes to standard error, so that standard output stays for results.
"""

import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["Reporter", "progress_bar", "track"]

_T = TypeVar("_T")
_WORTH_A_LINE = 1.0  # seconds


class Reporter(Protocol):
    """What a long job calls as it goes on."""

    def advance(self, steps: int = 1, text: str | None = None) -> None:
        """Say that `steps` more are done and, if given, show `text` beside the bar."""

    def note(self, line: str) -> None:
        """Leave `line` on the terminal, above the bar."""


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self.steps = 0

    def advance(self, steps: int = 1, text: str | None = None) -> None:
        self.steps += steps
        self._progress.update(self._task, advance=steps)
        if text is not None:
            self._progress.update(self._task, text=text)

    def note(self, line: str) -> None:
        if not self._progress.disable:
            self._progress.console.print(line, highlight=False, markup=False)


class _RateColumn(ProgressColumn):
    """Steps in a second, of the last half minute."""

    def render(self, task: Task) -> Text:
        return Text(_rate(task.speed) if task.speed else "", style="progress.data.speed")


@contextmanager
def progress_bar(label: str, total: int | None, done: int = 0, *, console: Console | None = None) -> Iterator[Reporter]:
    """A bar of `total` steps, `done` of them already; shows rate, elapsed time and ETA. Silent off a terminal.

    A job of a second or more leaves a line behind: the steps it made, the time they took, the rate.
    """
    console = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    started = time.perf_counter()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = _Bar(progress, progress.add_task(label, total=total, completed=done, text=""))
        yield bar
    seconds = time.perf_counter() - started
    if console.is_terminal and seconds >= _WORTH_A_LINE and bar.steps:
        console.print(f"{label}: {bar.steps:,} in {seconds:,.1f} s, {_rate(bar.steps / seconds)}", highlight=False)


def _rate(speed: float) -> str:
    """Steps in a second, or seconds a step where that says more."""
    return f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:,.1f} s each"


def track(values: Iterable[_T], label: str, total: int | None = None) -> Iterator[_T]:
    """Iterate over `values` under a progress bar."""
    size = len(values) if total is None and isinstance(values, Sized) else total
    with progress_bar(label, size) as bar:
        for value in values:
            yield value
            bar.advance()
