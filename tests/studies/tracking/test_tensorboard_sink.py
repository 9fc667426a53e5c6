import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import small_dataset
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from alignrec.artifacts import hash_file
from alignrec.data import Dataset
from alignrec.errors import UsageError
from alignrec.studies import Run, TrackingError, train

SETTINGS = {"model": {"embedding_size": 4}, "training": {"epochs": 4, "validate_every": 2, "batch_size": 64}}
RESULTS = ("metrics.jsonl", "model.safetensors", "representations.safetensors", "report.json")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("data") / "small")


def go(dataset: Dataset, out: Path, to: str | None = None, **options: Any) -> Run:
    return train(dataset, model="lightgcn", out=out, settings=SETTINGS, track={"tensorboard": to}, **options)


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Read only."""
    return go(dataset, tmp_path_factory.mktemp("runs") / "run")


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()


def points(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in events.Scalars(tag)]


def single(value: float) -> float:
    """TensorBoard keeps 32 bits."""
    return float(np.float32(value))


def test_tensorboard_shows_what_metrics_jsonl_says(run: Run) -> None:
    events = read(run.path / "tensorboard")
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert points(events, "lr") == [(line["epoch"], single(line["lr"])) for line in lines]
    for term in ("bpr", "norm", "total"):
        assert points(events, f"loss/{term}") == [(line["epoch"], single(line["loss"][term])) for line in lines]
    validated = [(line["epoch"], single(line["valid"]["recall@20"])) for line in lines if "valid" in line]
    assert [step for step, _ in validated] == [2, 4]
    assert points(events, "valid/recall_at_20") == validated


def test_the_best_value_stands_at_its_epoch_beside_the_plan_and_the_status(run: Run) -> None:
    events, report = read(run.path / "tensorboard"), run.report()
    expected = [(report["training"]["best_epoch"], single(report["valid"]["recall@20"]))]
    assert points(events, "best/recall_at_20") == expected
    (plan,) = events.Tensors("plan/text_summary")
    assert b"| model.n_layers | 2 |" in plan.tensor_proto.string_val[0]
    (status,) = events.Tensors("status/text_summary")
    assert status.tensor_proto.string_val[0] == b"finished (epochs)"


def test_the_settings_and_the_best_value_are_on_the_page_that_compares_runs(run: Run) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    metadata = read(run.path / "tensorboard").summary_metadata
    contents = {
        tag: HParamsPluginData.FromString(metadata[f"_hparams_/{tag}"].plugin_data.content)
        for tag in ("experiment", "session_start_info", "session_end_info")
    }
    assert [info.name.tag for info in contents["experiment"].experiment.metric_infos] == ["best/recall_at_20"]
    assert contents["session_start_info"].session_start_info.hparams["training.epochs"].string_value == "4"


def test_the_results_are_the_same_bytes_as_without_it(dataset: Dataset, run: Run, tmp_path: Path) -> None:
    alone = train(dataset, model="lightgcn", out=tmp_path / "run", settings=SETTINGS)
    assert [hash_file(run.path / name) for name in RESULTS] == [hash_file(alone.path / name) for name in RESULTS]
    assert not (alone.path / "tracking.json").exists()


def test_a_given_folder_holds_runs_by_their_names_and_never_two_in_one(dataset: Dataset, tmp_path: Path) -> None:
    for name in ("a", "b"):
        go(dataset, tmp_path / name, str(tmp_path / "logs"))
    assert {folder.name for folder in (tmp_path / "logs").iterdir()} == {"a", "b"}
    with pytest.raises(TrackingError, match="holds the events of another run; choose another --track-to"):
        go(dataset, tmp_path / "elsewhere" / "a", str(tmp_path / "logs"))
    assert [step for step, _ in points(read(tmp_path / "logs" / "a"), "lr")] == [1, 2, 3, 4]


def test_a_record_that_a_kill_cut_off_is_told_again(dataset: Dataset, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def die(line: dict[str, Any], _objective: object) -> None:
        if line["epoch"] == 3:
            raise KilledError

    with pytest.raises(KilledError):
        go(dataset, tmp_path / "run", observers=[die])
    (log,) = (tmp_path / "run" / "tensorboard").iterdir()
    log.write_bytes(log.read_bytes()[:-10])
    go(dataset, tmp_path / "run", resume=True)
    steps = [step for step, _ in points(read(tmp_path / "run" / "tensorboard"), "lr")]
    assert steps == [1, 2, 3, 4]


def test_a_uri_is_no_folder(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="writes into a folder of this machine, not to 's3://logs'"):
        go(dataset, tmp_path / "run", "s3://logs")
    assert not (tmp_path / "run").exists()
