"""Offline: what wandb would send is in its file, which is read back here."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import small_dataset
from wandb.proto import wandb_internal_pb2 as proto

from alignrec.artifacts import hash_file
from alignrec.data import Dataset
from alignrec.errors import UsageError
from alignrec.studies import Run, TrackingError, train
from alignrec.studies.tracking.sink import TrackedRun

SETTINGS = {"model": {"embedding_size": 4}, "training": {"epochs": 4, "batch_size": 64, "checkpoint_seconds": 0}}
RESULTS = ("metrics.jsonl", "model.safetensors", "representations.safetensors", "report.json")
BLOCK = 32768  # bytes; the file is a LevelDB log behind seven bytes of its own


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_PROJECT", raising=False)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("data") / "small")


def go(dataset: Dataset, out: Path, **options: Any) -> Run:
    run = train(dataset, model="bpr", out=out, settings=SETTINGS, track={"wandb": None}, **options)
    until = time.monotonic() + 60  # wandb writes its file from a process of its own, which a busy machine lets wait
    while not of_kind(run.path, "exit") and time.monotonic() < until:
        time.sleep(0.1)
    return run


def records(run: Path) -> Iterator[Any]:
    for path in sorted(run.glob("wandb/offline-run-*/run-*.wandb")):
        content, offset, part = path.read_bytes(), 7, b""
        while offset + 7 <= len(content):
            left = BLOCK - offset % BLOCK
            if left < 7:
                offset += left
                continue
            _, length, kind = struct.unpack_from("<IHB", content, offset)
            part += content[offset + 7 : offset + 7 + length]
            offset += 7 + length
            if kind in (1, 4):  # whole, or the last piece
                yield proto.Record.FromString(part)
                part = b""


def of_kind(run: Path, kind: str) -> list[Any]:
    return [getattr(record, kind) for record in records(run) if record.WhichOneof("record_type") == kind]


def values(items: Any) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def steps(run: Path) -> list[int]:
    return [record.step.num for record in of_kind(run, "history")]


def test_wandb_holds_the_plan_every_epoch_the_best_value_and_the_status(dataset: Dataset, tmp_path: Path) -> None:
    run = go(dataset, tmp_path / "run")
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    told = [values(record.item) for record in of_kind(run.path, "history")]
    assert steps(run.path) == [1, 2, 3, 4]
    assert [point["loss/total"] for point in told] == [line["loss"]["total"] for line in lines]
    assert [point["valid/recall_at_20"] for point in told] == [line["valid"]["recall@20"] for line in lines]
    about = of_kind(run.path, "run")[0]
    assert (about.project, about.display_name) == ("alignrec", "run")
    assert TrackedRun.of(run).parameters.items() <= values(about.config.update).items()
    summary: dict[str, Any] = {}
    for record in of_kind(run.path, "summary"):
        summary |= values(record.update)
    report = run.report()
    assert summary["best/recall_at_20"] == report["valid"]["recall@20"]
    assert (summary["status"], summary["best_epoch"]) == ("finished", report["training"]["best_epoch"])


def test_a_broken_run_goes_on_under_its_id_and_the_bytes_are_those_without_wandb(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(line: dict[str, Any], _objective: object) -> None:
        if line["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setenv("WANDB_PROJECT", "baby")
    with pytest.raises(KeyboardInterrupt):
        go(dataset, tmp_path / "run", observers=[stop])
    run = go(dataset, tmp_path / "run", resume=True)
    assert steps(run.path) == [1, 2, 3, 4]
    assert {(about.run_id, about.project) for about in of_kind(run.path, "run")} == {
        (json.loads((run.path / "tracking.json").read_text())["wandb"]["kept"]["run_id"], "baby")
    }
    alone = train(dataset, model="bpr", out=tmp_path / "alone", settings=SETTINGS)
    assert [hash_file(run.path / name) for name in RESULTS] == [hash_file(alone.path / name) for name in RESULTS]


def test_without_an_account_it_is_one_line_and_nothing_is_trained(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    def refuse(**_settings: object) -> None:
        raise wandb.Error("No API key configured.\nMore words.")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(TrackingError, match=r"^wandb says: No API key configured\. \(nothing is lost"):
        go(dataset, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_it_takes_no_place(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="wandb takes no place"):
        train(dataset, model="bpr", out=tmp_path / "run", track={"wandb": "https://host"})
    assert not (tmp_path / "run").exists()
