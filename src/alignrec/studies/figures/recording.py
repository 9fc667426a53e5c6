"""Traces of a run: recorded while it trains, or by training it a second time.

Training is decided by a run's plan, so that a run can be trained again to watch it. Whether it is the same run is not
taken on trust: a trace is kept only where the second run's log equals the first one's byte by byte.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from alignrec.artifacts import write_bytes
from alignrec.data import Dataset
from alignrec.errors import ArtifactError, UsageError
from alignrec.studies.figures.directions import DIRECTIONS_FILE, NO_FETTLE, direction_recorder
from alignrec.studies.figures.forgetting import FORGETTING_FILE, forgetting_recorder
from alignrec.studies.figures.traces import TraceRecorder, read_lines
from alignrec.studies.retraining import retrain
from alignrec.studies.run_folder import Run
from alignrec.types import TrainData

__all__ = ["TRACES", "record_again", "trace_recorder"]

_MAKERS: dict[str, tuple[str, Callable[[TrainData, Path], TraceRecorder]]] = {
    "directions": (DIRECTIONS_FILE, direction_recorder),
    "forgetting": (FORGETTING_FILE, forgetting_recorder),
}
TRACES = tuple(_MAKERS)


def trace_recorder(
    name: str,
    dataset: Dataset | str | Path,
    features: Sequence[str],
    folder: str | Path,
    *,
    plugins: Sequence[str] | None = None,
) -> TraceRecorder:
    """The observer that records the trace `name`, for `alignrec.studies.train(observers=[...])`.

    Args:
        name: `directions` (of FETTLE) or `forgetting` (of features).
        dataset: what the run trains on, or its folder.
        features: names of the run's feature tables.
        folder: of the run; the trace lies beside its `metrics.jsonl`.
        plugins: names of the run's plug-ins, so that a trace which needs another is refused before the training; None:
            refused by the first epoch.

    Raises:
        UsageError: an unknown name, or a trace of a plug-in that `plugins` lacks.
    """
    if name not in _MAKERS:
        raise UsageError(f"unknown trace {name!r}; allowed: {', '.join(TRACES)}")
    if name == "directions" and plugins is not None and "fettle" not in plugins:
        raise UsageError(NO_FETTLE)
    data = dataset if isinstance(dataset, Dataset) else Dataset.load(dataset)
    return _MAKERS[name][1](data.train_view(list(features)), Path(folder))


def record_again(run: str | Path, name: str, *, dataset: str | Path | None = None) -> None:
    """Train the finished run in folder `run` a second time, in a temporary folder beside it, and keep the trace `name`.

    Does nothing where the trace is already there, of every epoch. It takes as long as the run took.

    Raises:
        ArtifactError: no finished run, its dataset is not where it was, or the second training went another way, as it
            does on other machines, with other versions and with several threads.
        UsageError: an unknown name.
    """
    first = Run.open(run)
    if name not in _MAKERS:
        raise UsageError(f"unknown trace {name!r}; allowed: {', '.join(TRACES)}")
    file = _MAKERS[name][0]
    if _whole(first.path / file, first.report()["training"]["epochs"]):
        return
    data, features = first.dataset(dataset), list(first.plan.features)
    with tempfile.TemporaryDirectory(dir=first.path.parent, prefix=f".{first.path.name}.") as place:
        out = Path(place) / "run"
        recorder = trace_recorder(name, data, features, out)
        second = retrain(first, out=out, dataset=data.path, observers=[recorder])
        if (second.path / "metrics.jsonl").read_bytes() != (first.path / "metrics.jsonl").read_bytes():
            raise ArtifactError(
                f"trained again, {first.path} went another way than its metrics.jsonl says; "
                "record while training instead, with trace_recorder"
            )
        write_bytes(first.path / file, (second.path / file).read_bytes())


def _whole(file: Path, epochs: int) -> bool:
    return file.is_file() and [line["epoch"] for line in read_lines(file)] == list(range(1, epochs + 1))
