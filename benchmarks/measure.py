"""How a ratio is measured: one thread, CPU seconds, the two sides taking turns so that a busy machine hurts both.

Each side has a process of its own. The plain one runs with the defaults of PyTorch and the C library, as a toolbox
does; ours with the settings that training makes: freed buffers stay with the process, and denormal numbers are zero.
"""

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, NamedTuple

import torch

from alignrec.runtime import keep_large_buffers

__all__ = ["Row", "Turn", "compare", "peak_megabytes", "take_turns"]


class Turn(NamedTuple):
    """What one call took and gave."""

    seconds: float  # of CPU time
    value: Any  # what the function returned


def take_turns(rounds: int, *sides: tuple[Callable[[], Any], bool]) -> list[list[Turn]]:
    """Call the functions in turn, `rounds` times, each in a process that is forked here; the turns of each.

    Args:
        rounds: calls of each function.
        sides: functions, which return something small, and whether their processes have the settings of training (see
            `alignrec.runtime`) or the defaults.

    Raises:
        EOFError: a function failed; its process has shown why.
    """
    context = multiprocessing.get_context("fork")
    connections: list[Connection] = []
    for function, is_ours in sides:
        here, there = context.Pipe()
        context.Process(target=_serve, args=(function, is_ours, there), daemon=True).start()
        there.close()
        connections.append(here)
    turns: list[list[Turn]] = [[] for _ in sides]
    for _ in range(rounds):
        for connection, taken in zip(connections, turns, strict=True):
            connection.send(True)
            taken.append(Turn(*connection.recv()))
    for connection in connections:
        connection.send(False)
    return turns


def _serve(function: Callable[[], Any], is_ours: bool, connection: Connection) -> None:
    if is_ours:
        keep_large_buffers()
        torch.set_flush_denormal(True)
    while connection.recv():
        began = time.process_time()
        value = function()
        connection.send((time.process_time() - began, value))


@dataclass(frozen=True)
class Row:
    """One line of the table: what the plain version and ours need, in `unit`, and the ratio wanted."""

    name: str
    plain: float
    ours: float
    goal: float | None = None
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """How many times less ours needs."""
        return self.plain / self.ours


def compare(
    name: str,
    plain: Callable[[], object],
    ours: Callable[[], object],
    *,
    goal: float | None = None,
    repeats: int = 5,
) -> Row:
    """Run both once to warm up, then `repeats` times in turn; the row holds the medians of process CPU time."""
    theirs, mine = take_turns(1 + repeats, (partial(_drop, plain), False), (partial(_drop, ours), True))
    return Row(name, *(median(turn.seconds for turn in turns[1:]) for turns in (theirs, mine)), goal)


def _drop(function: Callable[[], object]) -> None:
    """What a side returns may be large, and need not reach the other process."""
    function()


def peak_megabytes(statements: str) -> float:
    """What `statements` add to the peak resident memory of a fresh one-thread interpreter, in MB; Linux only.

    A line `# measured from here` in them marks where adding begins.
    """
    setup, _, measured = statements.partition("# measured from here\n")
    code = "\n".join([_PEAK, setup, "before = peak()", measured, "print('added', peak() - before)"])
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(result.stdout.rpartition("added")[2]) / 1024


# VmHWM and not getrusage: the latter's maximum survives from the process that started this one.
_PEAK = """
import re, torch
from pathlib import Path
torch.set_num_threads(1)
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
