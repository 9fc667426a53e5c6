import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import small_dataset
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from alignrec.artifacts import hash_file
from alignrec.data import Dataset
from alignrec.errors import UsageError
from alignrec.studies import Run, TrackingError, train
from alignrec.studies.tracking.mlflow_sink import MlflowSink
from alignrec.studies.tracking.sink import TrackedRun

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")

SETTINGS = {"model": {"embedding_size": 4}, "training": {"epochs": 4, "validate_every": 2, "batch_size": 64}}
RESULTS = ("metrics.jsonl", "model.safetensors", "representations.safetensors", "report.json")


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("data") / "small")


def go(dataset: Dataset, out: Path, to: str | None = None, **options: Any) -> Run:
    return train(dataset, model="bpr", out=out, settings=SETTINGS, track={"mlflow": to}, **options)


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Read only; its database may be written to by others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(tmp_path_factory.mktemp("here"))
        finished = go(dataset, tmp_path_factory.mktemp("runs") / "run")
        assert list(Path.cwd().iterdir()) == [], "nothing is left where one stands"
    return finished


@pytest.fixture
def uri(run: Run) -> str:
    return f"sqlite:///{run.path}/mlflow.db"


def runs_named(uri: str, name: str, experiment: str = "alignrec") -> list[Any]:
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id], filter_string=f"tags.mlflow.runName = '{name}'"))


def history(uri: str, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(p.step, p.value) for p in MlflowClient(tracking_uri=uri).get_metric_history(run_id, name)]


def test_mlflow_holds_the_plan_every_epoch_the_best_value_and_the_status(run: Run, uri: str) -> None:
    (found,) = runs_named(uri, "run")
    assert found.info.status == "FINISHED"
    assert found.data.params == TrackedRun.of(run).texts() | {"features": "", "features.hash": ""}
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    run_id, report = found.info.run_id, run.report()
    assert history(uri, run_id, "lr") == [(line["epoch"], line["lr"]) for line in lines]
    assert history(uri, run_id, "loss/total") == [(line["epoch"], line["loss"]["total"]) for line in lines]
    validated = [(line["epoch"], line["valid"]["ndcg@20"]) for line in lines if "valid" in line]
    assert history(uri, run_id, "valid/ndcg_at_20") == validated
    best = (report["training"]["best_epoch"], report["valid"]["recall@20"])
    assert history(uri, run_id, "best/recall_at_20") == [best]
    assert (found.data.tags["alignrec.best_epoch"], found.data.tags["alignrec.ended_by"]) == (str(best[0]), "epochs")


def test_the_results_are_the_same_bytes_as_without_it(dataset: Dataset, run: Run, tmp_path: Path) -> None:
    alone = train(dataset, model="bpr", out=tmp_path / "run", settings=SETTINGS)
    assert [hash_file(run.path / name) for name in RESULTS] == [hash_file(alone.path / name) for name in RESULTS]


def test_a_stopped_run_is_killed_for_mlflow_and_then_goes_on_as_the_same_run(
    dataset: Dataset, uri: str, tmp_path: Path
) -> None:
    def stop(line: dict[str, Any], _objective: object) -> None:
        if line["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(dataset, tmp_path / "stopped", uri, observers=[stop])
    (before,) = runs_named(uri, "stopped")
    assert before.info.status == "KILLED"
    go(dataset, tmp_path / "stopped", uri, resume=True)
    (after,) = runs_named(uri, "stopped")
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    assert [step for step, _ in history(uri, after.info.run_id, "lr")] == [1, 2, 3, 4]


def test_an_end_that_was_told_but_not_noted_is_not_told_twice(dataset: Dataset, uri: str, tmp_path: Path) -> None:
    out = tmp_path / "noted"
    go(dataset, out, uri)
    noted = json.loads((out / "tracking.json").read_text())
    noted["mlflow"]["ended"] = False
    (out / "tracking.json").write_text(json.dumps(noted))
    go(dataset, out, uri, resume=True)
    (found,) = runs_named(uri, "noted")
    assert len(history(uri, found.info.run_id, "best/recall_at_20")) == 1


def test_the_environment_may_say_where_and_under_which_experiment(
    dataset: Dataset, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "baby")
    go(dataset, tmp_path / "there")
    assert not (tmp_path / "there" / "mlflow.db").exists()
    assert len(runs_named(uri, "there", "baby")) == 1


def test_a_place_that_is_not_there_is_one_line_and_nothing_is_trained(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match=r"^MLflow at .*/file/x\.db says: ") as caught:
        go(dataset, tmp_path / "run", f"sqlite:///{tmp_path}/file/x.db")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_password_is_not_kept_in_the_runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="give the whole URI by the environment variable MLFLOW_TRACKING_URI"):
        MlflowSink(tmp_path, "postgresql://me:secret@host:5432/mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@host:5432/mlflow")
    assert MlflowSink(tmp_path, None).place == "postgresql://host:5432/mlflow"


def test_setting_up_the_database_is_not_talked_about(tmp_path: Path) -> None:
    MlflowSink(tmp_path, None)
    assert not logging.getLogger("mlflow.store.db.utils").isEnabledFor(logging.INFO)
    assert not logging.getLogger("alembic.runtime.migration").isEnabledFor(logging.INFO)


SCRIPT = """
import json, sys, time
from alignrec.studies import train
from alignrec.models import BPR
BPR.start_epoch = lambda self, rng: time.sleep(0.05)
train(sys.argv[1], out=sys.argv[2], **json.loads(sys.argv[3]))
"""


def test_a_killed_run_goes_on_in_the_same_mlflow_run_no_epoch_twice_and_the_bytes_are_those_without_trackers(
    dataset: Dataset, uri: str, tmp_path: Path
) -> None:
    out, whole = tmp_path / "killed", tmp_path / "whole"
    training = {"epochs": 12, "batch_size": 64, "patience": 100, "checkpoint_seconds": 0.2}
    request: dict[str, Any] = {"model": "bpr", "settings": {**SETTINGS, "training": training}, "seed": 5}
    track: dict[str, str | None] = {"tensorboard": None, "mlflow": uri}
    command = [sys.executable, "-c", SCRIPT, str(dataset.path), str(out), json.dumps({**request, "track": track})]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (out / "metrics.jsonl").is_file() or len((out / "metrics.jsonl").read_text().splitlines()) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    train(dataset, out=out, **request, track=track, resume=True)
    train(dataset, out=whole, **request)
    assert [hash_file(out / name) for name in RESULTS] == [hash_file(whole / name) for name in RESULTS]

    (found,) = runs_named(uri, "killed")
    assert found.info.status == "FINISHED"
    epochs = list(range(1, 13))
    assert [step for step, _ in history(uri, found.info.run_id, "lr")] == epochs
    events = EventAccumulator(str(out / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    assert [point.step for point in events.Scalars("loss/total")] == epochs
