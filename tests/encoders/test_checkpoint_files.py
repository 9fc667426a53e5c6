import argparse
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file

from alignrec.encoders.checkpoint_files import read_checkpoint
from alignrec.errors import ArtifactError

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}


def same(tensors):
    return tensors.keys() == WEIGHTS.keys() and all(torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"model": WEIGHTS, "epoch": 3},
        {"module": OrderedDict(WEIGHTS), "optimizer": {"lr": 0.1}},
        {"state_dict": {f"module.{name}": value for name, value in WEIGHTS.items()}},
        {"model": WEIGHTS, "args": argparse.Namespace(lr=0.1, name="x")},
        {**WEIGHTS, "step": 7},
    ],
    ids=["bare", "model", "deepspeed", "data-parallel", "with-arguments", "bare-with-a-number"],
)
def test_weights_are_found_however_they_are_wrapped(content, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    assert same(read_checkpoint(tmp_path / "x.pth"))


def test_safetensors_are_read(tmp_path):
    save_file(WEIGHTS, tmp_path / "x.safetensors")
    assert same(read_checkpoint(tmp_path / "x.safetensors"))


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_file_cannot_run_code(tmp_path):
    torch.save({"model": WEIGHTS, "trap": Trap(tmp_path / "sprung")}, tmp_path / "x.pth")
    with pytest.raises(ArtifactError, match=r"holds other things than tensors, .* save its weights") as caught:
        read_checkpoint(tmp_path / "x.pth")
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"not a checkpoint at all", b"PK\x03\x04 cut off"])
def test_damaged_files_are_refused_in_one_line(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match="not a readable checkpoint") as caught:
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    torch.save({"model": WEIGHTS}, tmp_path / "x.pth")
    whole = (tmp_path / "x.pth").read_bytes()
    for length in range(1, len(whole) - 1, 97):
        (tmp_path / "x.pth").write_bytes(whole[:length])
        with pytest.raises(ArtifactError):
            read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("content", [{"model": {}}, [1, 2], {"epoch": 3}, torch.ones(2)])
def test_files_without_named_tensors_are_refused(content, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ArtifactError, match="no named tensors"):
        read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(value, tmp_path):
    torch.save(WEIGHTS | {"c": torch.tensor([1.0, value])}, tmp_path / "x.pth")
    with pytest.raises(ArtifactError, match="has NaN or infinity in 1 tensors, such as c"):
        read_checkpoint(tmp_path / "x.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"gone\.pth is not a file"):
        read_checkpoint(tmp_path / "gone.pth")
