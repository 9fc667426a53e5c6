"""Reading the golden files: numbers computed with the authors' code on a tiny dataset."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from scipy import sparse
from torch import Tensor, nn

from alignrec.types import Batch, Embeddings, TrainData


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


Names = Mapping[str, tuple[str, ...]]  # a parameter of ours -> those of the authors it stacks


def stacked(golden: Golden, group: str, theirs: tuple[str, ...]) -> Tensor:
    """Tensors of the group "param" or "grad" on top of each other."""
    return torch.cat([golden.tensors[f"{group}/{name}"] for name in theirs])


def set_parameters(model: nn.Module, golden: Golden, names: Names) -> None:
    """Give `model` the authors' parameters; it may have no others."""
    assert set(names) == {name for name, _ in model.named_parameters()}
    with torch.no_grad():
        for ours, theirs in names.items():
            model.get_parameter(ours).copy_(stacked(golden, "param", theirs))


def assert_gradients(model: nn.Module, golden: Golden, names: Names, tolerance: float) -> None:
    for ours, theirs in names.items():
        gradient = model.get_parameter(ours).grad
        assert gradient is not None, f"{ours} gets no gradient"
        assert_close(gradient, stacked(golden, "grad", theirs), tolerance, f"gradient of {ours}")


def assert_scores(final: Embeddings, golden: Golden, tolerance: float) -> None:
    assert_close((final.users @ final.items.t()).detach(), golden.tensors["scores"], tolerance, "scores")


def linears(**names: str) -> dict[str, tuple[str, ...]]:
    """Ours -> theirs, for weight and bias of each layer; our dots are written as double underscores."""
    pairs = [(ours.replace("__", "."), theirs) for ours, theirs in names.items()]
    return {f"{ours}.{part}": (f"{theirs}.{part}",) for ours, theirs in pairs for part in ("weight", "bias")}


def mmgcn_networks() -> dict[str, tuple[str, ...]]:
    """Ours -> theirs, for all that MMGCN trains in its golden file."""
    found = linears(networks__0__content__linear="v_gcn.MLP")
    for network, modality in enumerate("vt"):
        for layer in range(3):
            ours, theirs = f"networks__{network}__layers__{layer}", f"{modality}_gcn"
            found[f"{ours}__message".replace("__", ".")] = (f"{theirs}.conv_embed_{layer + 1}.weight",)
            pairs = {"own": "linear_layer", "merge": "g_layer"}
            found |= linears(**{f"{ours}__{o}": f"{theirs}.{t}{layer + 1}" for o, t in pairs.items()})
    return found
