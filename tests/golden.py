"""Reading the golden files: numbers computed with the authors' code on a tiny dataset."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from scipy import sparse
from torch import Tensor

from alignrec.types import Batch, TrainData


@dataclass(frozen=True)
class Golden:
    tensors: dict[str, Tensor]
    about: dict

    @property
    def batch(self) -> Batch:
        return Batch(self.tensors["batch/users"], self.tensors["batch/pos"], self.tensors["batch/neg"])

    def data(self, folder: Path, *features: str) -> TrainData:
        if "input/train_matrix" in self.tensors:
            matrix = sparse.csr_array(self.tensors["input/train_matrix"].numpy().astype(np.float32))
        else:
            rows = np.loadtxt(folder / "dataset.inter", dtype=np.int64, skiprows=1)
            rows = rows[rows[:, 2] == 0]
            matrix = sparse.csr_array((np.ones(len(rows), np.float32), (rows[:, 0], rows[:, 1])), shape=(60, 40))
        tables = {name: np.load(folder / f"{name}_feat.npy", allow_pickle=False) for name in features}
        return TrainData(matrix, tables)


def load_golden(folder: Path, name: str) -> Golden:
    return Golden(load_file(folder / f"{name}.safetensors"), json.loads((folder / f"{name}.json").read_text()))


def assert_close(ours: Tensor | float, golden: Tensor | float, tolerance: float, what: str) -> None:
    """Relative to max(1, |golden|), as the golden files state their tolerance."""
    ours, golden = torch.as_tensor(ours).double(), torch.as_tensor(golden).double()
    assert ours.shape == golden.shape, f"{what}: shape {tuple(ours.shape)} against {tuple(golden.shape)}"
    error = ((ours - golden).abs() / golden.abs().clamp(min=1.0)).max().item()
    assert error <= tolerance, f"{what}: off by {error:.2e}, allowed {tolerance:.0e}"
