"""A trace: one line of JSON per epoch of a run, of something that only the model in training shows.

`TraceRecorder` is an observer of training: it looks and changes nothing. A run that goes on after a kill goes on with
its traces too: lines of epochs that are done again are dropped.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from alignrec.artifacts import write_bytes
from alignrec.errors import ArtifactError
from alignrec.training import Objective
from alignrec.types import Representations

__all__ = ["TraceRecorder", "read_lines", "represented"]

Measure = Callable[[Objective], Mapping[str, Any]]  # Any: JSON values


class TraceRecorder:
    """Writes what `measure` says of the objective after every epoch to `file`."""

    def __init__(self, file: Path, measure: Measure) -> None:
        self._file, self._measure, self._begun = file, measure, False

    def __call__(self, line: Mapping[str, Any], objective: Objective) -> None:  # Any: a line of metrics.jsonl
        """Measure after the epoch of `line`."""
        epoch = int(line["epoch"])
        if not self._begun:
            there = read_lines(self._file) if self._file.is_file() and epoch > 1 else []
            before = [entry for entry in there if entry["epoch"] < epoch]
            write_bytes(self._file, "".join(_text(entry) for entry in before).encode())
            self._begun = True
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(_text({"epoch": epoch, **self._measure(objective)}))


def read_lines(file: Path) -> list[dict[str, Any]]:  # Any: JSON values
    """The objects in a file with one per line; a last line that is still being written is left out.

    Raises:
        ArtifactError: no such file, or a line that is not a JSON object.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ArtifactError(f"{file} does not exist; is {file.parent} the folder you meant?") from None
    lines = text.split("\n")[:-1]  # what follows the last line's end is nothing, or a line in the making
    try:
        return [dict(json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise ArtifactError(f"{file} has a line that is not a JSON object ({error}); train the run anew") from None


def represented(objective: Objective) -> Representations:
    """What the present weights represent of all users and items, in evaluation mode and without gradients."""
    was_training = objective.training
    objective.eval()
    with torch.no_grad():
        reps = objective.backbone.represent()
    objective.train(was_training)
    return reps


def _text(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"
