"""One cell of a study in a process of its own, `python -m alignrec.studies.study_job`; reads its task from stdin.

The folder of the run is locked while it works: a process that a killed study left behind finishes its run, and the
study's next process for the same cell waits for it and then finds the run finished.
"""

import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alignrec.errors import AlignrecError
from alignrec.extensions import import_inherited
from alignrec.studies.evaluation import evaluate
from alignrec.studies.run_folder import Run
from alignrec.studies.training import TrainingStoppedError, train

__all__ = ["STOPPED", "is_evaluated", "main", "run_cell"]

STOPPED = 3  # exit code of a process that was asked to stop and saved its state


def run_cell(request: Mapping[str, Any], out: Path, metrics: tuple[str, ...]) -> Run:  # Any: arguments of train
    """Train into `out` (or go on there, or find it finished) and evaluate.

    Raises:
        AlignrecError: as `train` and `evaluate` do.
    """
    parent = os.getppid()

    def stop_with_the_study(_line: Mapping[str, Any], _objective: object) -> None:
        if os.getppid() != parent:
            raise TrainingStoppedError("the study that asked for this run is gone")

    with _locked(out.with_name(f".{out.name}.lock")):
        run = train(**request, out=out, resume=True, observers=[stop_with_the_study])
        if not is_evaluated(run, metrics):
            evaluate(run, metrics=metrics)
    return run


def is_evaluated(run: Run, metrics: tuple[str, ...]) -> bool:
    """Whether a finished run's report has these metrics of its test split."""
    report = run.report()
    return set(metrics) <= set(report.get("test", ())) and (run.path / "per_user.parquet").is_file()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold `path` as a lock; the system lets go of it when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Read `{"request": …, "out": …, "metrics": […]}` from standard input; one line on standard error if it fails."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a study in the background hands down that it is ignored
    asked = json.loads(sys.stdin.read())
    try:
        import_inherited()
        run_cell(asked["request"], Path(asked["out"]), tuple(asked["metrics"]))
    except (TrainingStoppedError, KeyboardInterrupt) as error:
        sys.stderr.write(f"{error}\n")
        return STOPPED
    except (AlignrecError, OSError) as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
