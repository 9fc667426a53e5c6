"""What a run writes as it goes on, and how it goes on after a kill: metrics, timings, checkpoints."""

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from alignrec.artifacts import write_bytes
from alignrec.errors import ArtifactError
from alignrec.training.checkpoint import (
    Checkpoint,
    capture_optimizer,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from alignrec.training.early_stopping import EarlyStopping

__all__ = ["Journal", "Progress", "RunFiles", "copy_weights"]


@dataclass(frozen=True)
class RunFiles:
    """Where a run keeps what must survive a kill."""

    folder: Path

    @property
    def metrics(self) -> Path:
        """One JSON line per epoch; the same run writes the same bytes."""
        return self.folder / "metrics.jsonl"

    @property
    def timing(self) -> Path:
        """One JSON line per epoch with seconds; differs from run to run."""
        return self.folder / "timing.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The state to go on from."""
        return self.folder / "checkpoint" / "state.safetensors"


@dataclass
class Progress:
    """How far training is, beside what the objective and the optimiser hold."""

    epoch: int
    stopping: EarlyStopping
    best_weights: dict[str, Tensor]
    history: list[dict[str, Any]]  # Any: the lines of metrics.jsonl


class Journal:
    """Writes after every epoch, checkpoints when the last one is `seconds` old; without `files` it writes nothing."""

    def __init__(
        self, files: RunFiles | None, objective: nn.Module, optimizer: torch.optim.Optimizer, seconds: float
    ) -> None:
        self._files, self._objective, self._optimizer, self._seconds = files, objective, optimizer, seconds
        self._saved_at = time.perf_counter()

    def resume(self, fresh: EarlyStopping) -> Progress:
        """The progress of the last checkpoint, put back into objective and optimiser; else that of a new run, `fresh`.

        Lines that a killed run wrote after its last checkpoint are dropped: these epochs are done again.

        Raises:
            ArtifactError: the checkpoint cannot be used, or lines of the log before it are missing.
        """
        if self._files is None:
            return Progress(0, fresh, {}, [])
        if not self._files.checkpoint.is_file():
            self._files.folder.mkdir(parents=True, exist_ok=True)
            write_bytes(self._files.metrics, b"")
            write_bytes(self._files.timing, b"")
            return Progress(0, fresh, {}, [])
        saved = load_checkpoint(self._files.checkpoint)
        try:
            self._objective.load_state_dict(saved.weights)
        except RuntimeError as error:
            raise ArtifactError(
                f"{self._files.checkpoint} holds other weights than this model has; "
                "it is of another version of the model, start the run anew"
            ) from error
        restore_optimizer(self._optimizer, saved.optimizer, self._objective)
        for path in (self._files.metrics, self._files.timing):
            lines = (
                path.read_text(encoding="utf-8", errors="replace").splitlines()[: saved.epoch] if path.is_file() else []
            )
            if len(lines) < saved.epoch:
                raise ArtifactError(f"{path} lacks epochs before the checkpoint, {saved.epoch}; start the run anew")
            _require_json(path, lines)
            write_bytes(path, "".join(f"{line}\n" for line in lines).encode())
        history = [json.loads(line) for line in self._files.metrics.read_text(encoding="utf-8").splitlines()]
        device = next(self._objective.parameters()).device
        best_weights = {name: tensor.to(device) for name, tensor in saved.best_weights.items()}
        stopping = replace(fresh, best=saved.best, best_epoch=saved.best_epoch, waited=saved.waited)
        return Progress(saved.epoch, stopping, best_weights, history)

    def write(self, progress: Progress, times: tuple[float, float], *, force: bool) -> None:
        """Log the epoch just done (`times`: when it began and when validation began); checkpoint if due or forced."""
        if self._files is None:
            return
        now = time.perf_counter()
        seconds = {
            "epoch": progress.epoch,
            "train": round(times[1] - times[0], 4),
            "valid": round(now - times[1], 4),
        }
        due = force or now - self._saved_at >= self._seconds
        for path, entry in ((self._files.metrics, progress.history[-1]), (self._files.timing, seconds)):
            with path.open("a", encoding="utf-8") as stream:
                stream.write(_line(entry))
                if due:  # a checkpoint that outlives a power cut needs the lines of the epochs before it
                    stream.flush()
                    os.fsync(stream.fileno())
        if not due:
            return
        stopping = progress.stopping
        save_checkpoint(
            self._files.checkpoint,
            Checkpoint(
                epoch=progress.epoch,
                best=stopping.best,
                best_epoch=stopping.best_epoch,
                waited=stopping.waited,
                weights=self._objective.state_dict(),
                optimizer=capture_optimizer(self._optimizer),
                best_weights=progress.best_weights,
            ),
        )
        self._saved_at = time.perf_counter()


def copy_weights(module: nn.Module) -> dict[str, Tensor]:
    """The module's state, apart from it."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _require_json(path: Path, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines, start=1):
        try:
            json.loads(line)
        except ValueError:
            raise ArtifactError(f"{path} is damaged in line {number}; start the run anew") from None


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps({key: _finite(value) for key, value in entry.items()}, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
