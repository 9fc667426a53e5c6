"""Run what a study lacks: features first, then runs, each in a process of its own with one thread, `jobs` at a time.

Nothing is done twice: a cell whose run is there is reused, a run that was broken off goes on from its checkpoint. A
cell that fails says so; the others finish. Ctrl-C lets every process save its state, the same command goes on.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from alignrec.data import Dataset
from alignrec.errors import AlignrecError
from alignrec.features import joined_names
from alignrec.studies.run_folder import Run
from alignrec.studies.study_cells import Cell, find_runs
from alignrec.studies.study_display import StudyDisplay
from alignrec.studies.study_job import STOPPED, is_evaluated
from alignrec.studies.study_settings import StudySettings

__all__ = ["CellResult", "StudyStoppedError", "make_features", "run_cells"]

_POLL_SECONDS = 0.2


class StudyStoppedError(AlignrecError):
    """A study was asked to stop; its runs saved their states."""


@dataclass(frozen=True)
class CellResult:
    """A cell and what became of it."""

    cell: Cell
    run: Run | None  # finished and evaluated
    error: str | None = None  # one line; why there is no run
    reused: bool = False  # it was there before


@dataclass
class _Working:
    """A process at work on a cell."""

    cell: Cell
    out: Path
    process: subprocess.Popen[str]
    began: float = field(default_factory=time.monotonic)


def make_features(study: StudySettings) -> None:
    """Make the study's `features` on every dataset that lacks them and has a row that uses them.

    Raises:
        AlignrecError: an encoder failed; with its own line.
    """
    for name, folder in study.datasets.items():
        used = {part for row in study.rows for table in row.features_on(name) for part in joined_names(table)}
        there = Dataset.load(folder).feature_names
        for feature, encoder in study.features.items():
            if feature not in used or feature in there:
                continue
            words = [sys.executable, "-m", "alignrec", "encode", "extract", encoder, folder, "--name", feature]
            done = subprocess.run(
                words, env=_one_thread(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
            )
            if done.returncode:
                raise AlignrecError(_last_line(done.stderr, f"'encode extract {encoder}' failed on {folder}"))


def run_cells(
    cells: Sequence[Cell],
    folder: Path,
    *,
    metrics: tuple[str, ...],
    jobs: int = 1,
    display: StudyDisplay | None = None,
    record: Callable[[Mapping[str, CellResult]], None] = lambda _results: None,
) -> list[CellResult]:
    """Find or make the run of every cell in `folder`, which holds one folder per run.

    Args:
        cells: all cells of a study.
        folder: of the runs.
        metrics: that every run is evaluated by.
        jobs: runs at a time.
        display: what shows progress.
        record: called with all results so far, by key: before the first run and after each.

    Raises:
        StudyStoppedError: Ctrl-C; what was running saved its state.
    """
    there = find_runs(folder)
    results: dict[str, CellResult] = {}
    waiting: list[Cell] = []
    for cell in cells:
        run = there.get(cell.key)
        if run is not None and is_evaluated(run, metrics):
            results[cell.key] = CellResult(cell, run, reused=True)
        else:
            waiting.append(cell)
    record(results)
    show = display or StudyDisplay()
    with show.watching(cells, [result.cell for result in results.values()]), _termination_as_interrupt():
        working: list[_Working] = []
        try:
            while waiting or working:
                while waiting and len(working) < jobs:
                    cell = waiting.pop(0)
                    known = there.get(cell.key)
                    working.append(_start(cell, known.path if known else folder / cell.key, metrics))
                    show.started(cell, working[-1].out)
                time.sleep(_POLL_SECONDS)
                for each in [each for each in working if each.process.poll() is not None]:
                    working.remove(each)
                    results[each.cell.key] = _result(each)
                    record(results)
                    show.ended(each.cell, results[each.cell.key].error, time.monotonic() - each.began)
                show.refresh()
        except KeyboardInterrupt:
            _stop(working)
            raise StudyStoppedError("stopped; the same command goes on where its runs were") from None
        except BaseException:
            _stop(working)
            raise
    return [results[cell.key] for cell in cells]


def _start(cell: Cell, out: Path, metrics: tuple[str, ...]) -> _Working:
    asked = {"request": {**cell.request(), "command": cell.command(out)}, "out": str(out), "metrics": metrics}
    process = subprocess.Popen(
        [sys.executable, "-m", "alignrec.studies.study_job"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=_one_thread(),
        start_new_session=True,  # Ctrl-C on a terminal reaches the study alone, which passes it on once
    )
    if process.stdin is None:  # cannot be: it was asked for
        raise RuntimeError("a process without standard input")
    with process.stdin as stream:
        json.dump(asked, stream)
    return _Working(cell, out, process)


def _result(each: _Working) -> CellResult:
    code = each.process.returncode
    text = _said(each.process)
    if code == 0:
        return CellResult(each.cell, Run(each.out))
    if code == STOPPED:
        raise KeyboardInterrupt  # it was told to stop, so is the study
    reason = f"its process was ended by signal {-code}" if code < 0 else f"exit code {code}"
    return CellResult(each.cell, None, _last_line(text, reason))


def _stop(working: Iterable[_Working]) -> None:
    """Let the processes finish their epoch and save."""
    for each in working:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGINT)
    for each in working:
        _said(each.process)
        each.process.wait()


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """`kill` stops a study as Ctrl-C does, also one in the background, where Ctrl-C is ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(each, signal.default_int_handler) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, previous, strict=True):
            signal.signal(each, handler)


def _said(process: subprocess.Popen[str]) -> str:
    """What it wrote to standard error until it ended."""
    if process.stderr is None:
        return ""
    with process.stderr as stream:
        return stream.read()


def _one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def _last_line(text: str, otherwise: str) -> str:
    """The last line a process said on its way out."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].removeprefix("alignrec: ") if lines else otherwise
