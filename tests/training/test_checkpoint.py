import subprocess
import sys
from pathlib import Path

import pytest
import torch

from alignrec.errors import ArtifactError
from alignrec.training.checkpoint import (
    Checkpoint,
    capture_optimizer,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
)


def trained(steps: int = 3) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
    advance(model, optimizer, steps)
    return model, optimizer


def advance(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.full((2, 4), float(step))).square().sum().backward()
        optimizer.step()


def test_continuing_from_a_checkpoint_gives_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    model, optimizer = trained()
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, Checkpoint(3, 0.5, 2, 1, model.state_dict(), capture_optimizer(optimizer), {}))
    advance(model, optimizer, 4)

    saved = load_checkpoint(path)
    assert (saved.epoch, saved.best, saved.best_epoch, saved.waited) == (3, 0.5, 2, 1)
    other, other_optimizer = trained(0)
    other.load_state_dict(saved.weights)
    restore_optimizer(other_optimizer, saved.optimizer, other)
    advance(other, other_optimizer, 4)
    for ours, theirs in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_before_the_first_validation_the_best_value_is_minus_infinity(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, Checkpoint(1, float("-inf"), 0, 0, {"a": torch.ones(1)}, {}, {}))
    assert load_checkpoint(path).best == float("-inf")


def test_a_damaged_checkpoint_is_an_error_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, Checkpoint(1, 0.1, 1, 0, {"a": torch.ones(100)}, {}, {}))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ArtifactError, match="is not a usable checkpoint"):
        load_checkpoint(path)


def test_a_checkpoint_of_a_larger_model_is_refused() -> None:
    _, optimizer = trained()
    small = torch.nn.Linear(4, 3, bias=False)
    with pytest.raises(ArtifactError, match="more parameters than the model"):
        restore_optimizer(torch.optim.Adam(small.parameters()), capture_optimizer(optimizer), small)


def test_tensors_that_share_memory_or_are_not_contiguous_come_back(tmp_path: Path) -> None:
    table = torch.arange(6.0).reshape(2, 3)
    tensors = {"table": table, "same": table, "turned": table.t(), "row": table[1], "empty": torch.empty(0, 3)}
    save_checkpoint(tmp_path / "state", Checkpoint(1, 0.1, 1, 0, tensors, {"0/step": torch.tensor(3.0)}, tensors))
    saved = load_checkpoint(tmp_path / "state")
    for name, tensor in tensors.items():
        assert torch.equal(saved.weights[name], tensor), name
        assert torch.equal(saved.best_weights[name], tensor), name
    assert saved.optimizer["0/step"].shape == ()


MEASURE = """
import resource, sys
from pathlib import Path
import torch
from alignrec.training.checkpoint import Checkpoint, save_checkpoint
tensors = {name: torch.ones(30 << 18) for name in "abcd"}  # 120 MB
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
save_checkpoint(Path(sys.argv[1]), Checkpoint(1, 0.1, 1, 0, tensors, {}, {}))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_a_checkpoint_takes_no_memory_of_its_size(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path / "state")], capture_output=True, check=True)
    assert int(done.stdout) < 30, "megabytes, for a checkpoint of 120"
