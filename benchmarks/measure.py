"""How a ratio is measured: one thread, CPU seconds, the two sides taking turns so that a busy machine hurts both."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

__all__ = ["Row", "compare", "peak_megabytes"]


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
    plain()
    ours()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for side, function in zip(seconds, (plain, ours), strict=True):
            began = time.process_time()
            function()
            side.append(time.process_time() - began)
    return Row(name, median(seconds[0]), median(seconds[1]), goal)


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
