"""A study while it runs: which cells are done, which are at work and how far, and when the rest will be."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from alignrec.studies.study_cells import Cell

__all__ = ["StudyDisplay", "name_of"]

_SHOWN_FAILURES = 5
_STYLES = {"done": "green", "failed": "red", "at work": "bold", "waiting": "dim"}


class StudyDisplay:
    """A live table on a terminal; off a terminal one line per finished cell, on standard error."""

    def __init__(self, console: Console | None = None, jobs: int = 1) -> None:
        self._console = console or Console(stderr=True)
        self._jobs = jobs
        self._cells: list[Cell] = []
        self._states: dict[str, str] = {}
        self._folders: dict[str, Path] = {}
        self._seconds: list[float] = []
        self._failures: list[str] = []
        self._live: Live | None = None

    @contextmanager
    def watching(self, cells: Sequence[Cell], done: Sequence[Cell]) -> Iterator[None]:
        """Show `cells`, `done` of them from the start, until the block ends."""
        self._cells = list(cells)
        self._states = {cell.key: "waiting" for cell in cells} | {cell.key: "done" for cell in done}
        if done and len(done) < len(cells):
            self._console.print(f"{len(done)} of {len(cells)} runs are there already", highlight=False)
        if not self._console.is_terminal or len(done) == len(cells):
            yield
            return
        with Live(self.table(), console=self._console, refresh_per_second=4, transient=True) as self._live:
            yield
        self._live = None

    def started(self, cell: Cell, folder: Path) -> None:
        """A process began to work on `cell` in `folder`."""
        self._states[cell.key] = "at work"
        self._folders[cell.key] = folder

    def ended(self, cell: Cell, error: str | None, seconds: float) -> None:
        """Its process is gone, after `seconds`; `error` if it left no run."""
        self._states[cell.key] = "failed" if error else "done"
        self._seconds.append(seconds)
        if error:
            self._failures.append(f"{name_of(cell)}: {error}")
        if self._live is None:
            state = error or f"done in {seconds:,.0f} s"
            line = f"{self._count('done', 'failed')}/{len(self._cells)} {name_of(cell)}: {state}"
            self._console.print(Text(line), soft_wrap=True)

    def refresh(self) -> None:
        """Draw anew what changed."""
        if self._live is not None:
            self._live.update(self.table())

    def table(self) -> Table:
        """Rows of the study by dataset, a sign per seed, and what is at work now."""
        table = Table(
            title=self._headline(), title_justify="left", caption="\n".join(self._failures[-_SHOWN_FAILURES:])
        )
        table.add_column("row")
        table.add_column("dataset")
        table.add_column("seeds")
        for (label, dataset), cells in self._rows().items():
            states = (Text(self._sign(cell), style=_STYLES[self._states[cell.key]]) for cell in cells)
            table.add_row(label, dataset, Text(" ").join(states))
        return table

    def seconds_left(self) -> float | None:
        """Estimated from the runs that ended; None before the first has."""
        if not self._seconds:
            return None
        left = self._count("waiting", "at work")
        return left * (sum(self._seconds) / len(self._seconds)) / max(self._jobs, 1)

    def _headline(self) -> Text:
        left = self.seconds_left()
        eta = "" if left is None else time.strftime(", ETA %H:%M:%S", time.gmtime(left))
        return Text(f"{self._count('done', 'failed')} of {len(self._cells)} runs{eta}")

    def _rows(self) -> dict[tuple[str, str], list[Cell]]:
        rows: dict[tuple[str, str], list[Cell]] = {}
        for cell in self._cells:
            rows.setdefault((cell.label, cell.dataset), []).append(cell)
        return rows

    def _sign(self, cell: Cell) -> str:
        state = self._states[cell.key]
        if state == "at work":
            return f"epoch {_epochs(self._folders[cell.key] / 'metrics.jsonl')}"
        return {"done": "✓", "failed": "failed", "waiting": "·"}[state]

    def _count(self, *states: str) -> int:
        return sum(state in states for state in self._states.values())


def name_of(cell: Cell) -> str:
    """A cell in words."""
    return f"{cell.label} on {cell.dataset}, seed {cell.plan.seed}"


def _epochs(metrics: Path) -> int:
    try:
        return metrics.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
