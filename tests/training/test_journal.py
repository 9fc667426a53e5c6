import json
import os
from pathlib import Path

import pytest
import torch

from alignrec.errors import ArtifactError
from alignrec.training.early_stopping import EarlyStopping
from alignrec.training.journal import Journal, RunFiles, copy_weights


def job(tmp_path: Path | None, seconds: float = 0.0) -> tuple[Journal, torch.nn.Module]:
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())
    return Journal(RunFiles(tmp_path) if tmp_path else None, model, optimizer, seconds), model


def log(journal: Journal, state, epochs: int, *, force: bool = False) -> None:
    for _ in range(epochs):
        state.epoch += 1
        state.history.append({"epoch": state.epoch, "loss": {"bpr": 0.5}})
        journal.write(state, (0.0, 0.0), force=force)


def test_lines_after_the_last_checkpoint_are_dropped_on_resume(tmp_path: Path) -> None:
    journal, model = job(tmp_path, seconds=1e9)
    state = journal.resume(EarlyStopping(5))
    log(journal, state, 2, force=True)
    weights = copy_weights(model)
    with torch.no_grad():
        model.weight.add_(1.0)
    log(journal, state, 3)
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 6, "lo')  # killed in the middle of a line

    again, fresh = job(tmp_path)
    resumed = again.resume(EarlyStopping(5))
    assert resumed.epoch == 2
    assert [entry["epoch"] for entry in resumed.history] == [1, 2]
    for name in ("metrics.jsonl", "timing.jsonl"):
        assert [json.loads(line)["epoch"] for line in (tmp_path / name).read_text().splitlines()] == [1, 2]
    assert torch.equal(fresh.weight, weights["weight"])


def test_a_new_run_clears_the_log_of_one_that_died_before_its_first_checkpoint(tmp_path: Path) -> None:
    journal, _ = job(tmp_path, seconds=1e9)
    log(journal, journal.resume(EarlyStopping(5)), 2)
    state = job(tmp_path)[0].resume(EarlyStopping(5))
    assert state.epoch == 0
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_without_files_nothing_is_written(tmp_path: Path) -> None:
    journal, _ = job(None)
    log(journal, journal.resume(EarlyStopping(5)), 2, force=True)
    assert list(tmp_path.iterdir()) == []


def test_copied_weights_do_not_follow_the_module() -> None:
    _, model = job(None)
    copied = copy_weights(model)
    before = copied["weight"].clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    assert torch.equal(copied["weight"], before)


def test_the_lines_of_an_epoch_reach_the_disk_before_its_checkpoint(tmp_path: Path, monkeypatch) -> None:
    order = []
    monkeypatch.setattr(os, "fsync", lambda handle: order.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    journal, _ = job(tmp_path, seconds=1e9)
    state = journal.resume(EarlyStopping(5))
    order.clear()
    log(journal, state, 1)
    assert order == [], "between checkpoints the disk is not waited for"
    log(journal, state, 1, force=True)
    assert order[:2] == ["metrics.jsonl", "timing.jsonl"]
    assert order[2].startswith(".state.safetensors.")


@pytest.mark.parametrize("left", [None, '{"epoch": 1}\n'])
def test_a_log_that_lacks_epochs_of_the_checkpoint_is_not_gone_on_with(tmp_path: Path, left: str | None) -> None:
    journal, _ = job(tmp_path)
    log(journal, journal.resume(EarlyStopping(5)), 2, force=True)
    (tmp_path / "metrics.jsonl").unlink()
    if left is not None:
        (tmp_path / "metrics.jsonl").write_text(left)
    with pytest.raises(
        ArtifactError, match=r"metrics\.jsonl lacks epochs before the checkpoint, 2; start the run anew"
    ):
        job(tmp_path)[0].resume(EarlyStopping(5))


def test_a_damaged_log_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    journal, _ = job(tmp_path)
    log(journal, journal.resume(EarlyStopping(5)), 2, force=True)
    cut = (tmp_path / "metrics.jsonl").read_bytes()[:-3]
    (tmp_path / "metrics.jsonl").write_bytes(cut)
    with pytest.raises(ArtifactError, match=r"metrics\.jsonl is damaged in line 2; start the run anew"):
        job(tmp_path)[0].resume(EarlyStopping(5))
    assert (tmp_path / "metrics.jsonl").read_bytes() == cut


@pytest.mark.parametrize("other", [torch.nn.Linear(3, 1), torch.nn.Sequential(torch.nn.Linear(2, 1))])
def test_weights_of_another_model_are_refused(tmp_path: Path, other: torch.nn.Module) -> None:
    journal, _ = job(tmp_path)
    log(journal, journal.resume(EarlyStopping(5)), 1, force=True)
    resumed = Journal(RunFiles(tmp_path), other, torch.optim.Adam(other.parameters()), 0.0)
    with pytest.raises(
        ArtifactError, match=r"state\.safetensors holds other weights than this model has.*start the run"
    ):
        resumed.resume(EarlyStopping(5))
