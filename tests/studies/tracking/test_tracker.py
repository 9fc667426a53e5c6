import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from datasets import small_dataset

from alignrec.data import Dataset
from alignrec.errors import MissingExtraError, UsageError
from alignrec.studies import Run, TrackingError, TrainingStoppedError, tracker_places, train
from alignrec.studies.tracking.sink import Outcome, TrackedRun
from alignrec.studies.tracking.tracker import TRACKERS, Tracker

SETTINGS = {"model": {"embedding_size": 4}, "training": {"epochs": 5, "batch_size": 64, "checkpoint_seconds": 0}}


class MemorySink:
    """A tracker that lives in this process; `down` says of an epoch whether it cannot be reached."""

    counts = True

    def __init__(self, store: dict[str, Any], down: Callable[[int], bool], to: str | None) -> None:
        self._store, self._down, self.place = store, down, to or ""

    def begin(self, run: TrackedRun, kept: Mapping[str, str] | None) -> Mapping[str, str]:
        run_id = kept["run_id"] if kept else f"run {len(self._store)}"
        self._mine = self._store.setdefault(run_id, {"epochs": [], "ends": []})
        return {"run_id": run_id}

    def last_epoch(self) -> int:
        return max(self._mine["epochs"], default=0)

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        if self._down(epoch):
            raise TrackingError("memory cannot be reached")
        self._mine["epochs"].append(epoch)

    def end(self, outcome: Outcome) -> None:
        self._mine["ends"].append(outcome)


class CountlessSink(MemorySink):
    """One that cannot be asked what it was told."""

    counts = False


class Outage:
    """Whether the tracker can be reached, as a test decides it."""

    def __init__(self) -> None:
        self.epochs: set[int] = set()
        self.asked: list[int] = []

    def __call__(self, epoch: int) -> bool:
        self.asked.append(epoch)
        return epoch in self.epochs


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture
def outage() -> Outage:
    return Outage()


@pytest.fixture(params=[MemorySink, CountlessSink], ids=["counts", "does not count"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, outage: Outage) -> dict[str, Any]:
    store: dict[str, Any] = {}
    monkeypatch.setitem(TRACKERS, "memory", lambda _folder, to: request.param(store, outage, to))
    return store


def stop_after(epoch: int, error: BaseException) -> Callable[[Mapping[str, Any], object], None]:
    def observe(line: Mapping[str, Any], _objective: object) -> None:
        if line["epoch"] == epoch:
            raise error

    return observe


def go(dataset: Dataset, out: Path, *, track: Mapping[str, str | None] | None = None, **options: Any) -> Run:
    track = {"memory": None} if track is None else track
    return train(dataset, model="bpr", out=out, settings=SETTINGS, track=track, resume=True, **options)


def test_every_epoch_is_told_once_and_then_the_end(dataset: Dataset, tmp_path: Path, memory: dict[str, Any]) -> None:
    run = go(dataset, tmp_path / "run")
    told = memory["run 0"]
    assert told["epochs"] == [1, 2, 3, 4, 5]
    report = run.report()
    best = {f"best/{name.replace('@', '_at_')}": value for name, value in report["valid"].items()}
    assert told["ends"] == [Outcome("finished", report["training"]["best_epoch"], best, "epochs")]


def test_a_run_that_is_stopped_says_so_and_goes_on_as_the_same_run(
    dataset: Dataset, tmp_path: Path, memory: dict[str, Any]
) -> None:
    with pytest.raises(TrainingStoppedError):
        go(dataset, tmp_path / "run", observers=[stop_after(2, TrainingStoppedError("enough"))])
    with pytest.raises(KeyboardInterrupt):
        go(dataset, tmp_path / "run", observers=[stop_after(4, KeyboardInterrupt())])
    go(dataset, tmp_path / "run")
    assert list(memory) == ["run 0"]
    assert memory["run 0"]["epochs"] == [1, 2, 3, 4, 5]
    assert [end.status for end in memory["run 0"]["ends"]] == ["interrupted", "interrupted", "finished"]


def test_a_run_that_breaks_is_told_as_failed(dataset: Dataset, tmp_path: Path, memory: dict[str, Any]) -> None:
    with pytest.raises(ZeroDivisionError):
        go(dataset, tmp_path / "run", observers=[stop_after(2, ZeroDivisionError())])
    assert memory["run 0"]["ends"] == [Outcome("failed")]


def test_epochs_that_are_done_again_after_a_kill_are_not_told_again(
    dataset: Dataset, tmp_path: Path, memory: dict[str, Any]
) -> None:
    """The tracker knew four epochs, the last checkpoint three: the fourth is trained, not told, a second time."""
    out = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        go(dataset, out, observers=[stop_after(3, ZeroDivisionError())])
    kept = (out / "checkpoint" / "state.safetensors").read_bytes()
    with pytest.raises(ZeroDivisionError):
        go(dataset, out, observers=[stop_after(4, ZeroDivisionError())])
    (out / "checkpoint" / "state.safetensors").write_bytes(kept)
    go(dataset, out)
    assert memory["run 0"]["epochs"] == [1, 2, 3, 4, 5]


def test_a_tracker_that_is_down_for_a_while_gets_later_what_it_missed(
    dataset: Dataset, tmp_path: Path, memory: dict[str, Any], outage: Outage, capsys: pytest.CaptureFixture[str]
) -> None:
    down = {2, 3}
    outage.epochs = down

    def comes_back(line: Mapping[str, Any], _objective: object) -> None:
        if line["epoch"] == 3:
            down.clear()

    go(dataset, tmp_path / "run", observers=[comes_back])
    assert memory["run 0"]["epochs"] == [1, 2, 3, 4, 5]
    assert "memory cannot be reached; training goes on, what is missing is told later" in capsys.readouterr().err


def test_a_tracker_that_stays_down_is_asked_ever_less_and_loses_nothing_in_the_end(
    dataset: Dataset, tmp_path: Path, memory: dict[str, Any], outage: Outage, capsys: pytest.CaptureFixture[str]
) -> None:
    outage.epochs = {3, 4, 5}
    run = go(dataset, tmp_path / "run")
    assert run.finished, "the training does not suffer"
    error = capsys.readouterr().err
    assert error.count("training goes on") == 2, "after epochs 3 and 4, then a pause of two"
    assert "memory lacks the end of this run, the same command with --resume tells it" in error
    assert memory["run 0"] == {"epochs": [1, 2], "ends": []}
    outage.epochs = set()
    go(dataset, tmp_path / "run")
    assert memory["run 0"]["epochs"] == [1, 2, 3, 4, 5]
    assert [end.status for end in memory["run 0"]["ends"]] == ["finished"]


def test_a_tracker_may_be_asked_for_when_the_run_is_done_and_is_told_once(
    dataset: Dataset, tmp_path: Path, memory: dict[str, Any]
) -> None:
    go(dataset, tmp_path / "run", track={})
    assert not (tmp_path / "run" / "tracking.json").exists()
    for _ in range(2):
        go(dataset, tmp_path / "run")
    assert memory["run 0"]["epochs"] == [1, 2, 3, 4, 5]
    assert len(memory["run 0"]["ends"]) == 1


def test_at_another_place_the_run_is_told_from_its_first_epoch(
    dataset: Dataset, tmp_path: Path, memory: dict[str, Any]
) -> None:
    with pytest.raises(ZeroDivisionError):
        go(dataset, tmp_path / "run", track={"memory": "here"}, observers=[stop_after(2, ZeroDivisionError())])
    go(dataset, tmp_path / "run", track={"memory": "there"})
    assert [run["epochs"] for run in memory.values()] == [[1, 2], [1, 2, 3, 4, 5]]
    assert json.loads((tmp_path / "run" / "tracking.json").read_text())["memory"]["place"] == "there"


def test_if_one_tracker_cannot_be_begun_with_nothing_is_trained_and_the_other_is_told(
    dataset: Dataset, tmp_path: Path, memory: dict[str, Any]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match=r"tensorboard cannot use .*the run goes on with --resume"):
        go(dataset, tmp_path / "run", track={"memory": None, "tensorboard": str(tmp_path / "file")})
    assert memory["run 0"] == {"epochs": [], "ends": [Outcome("failed")]}
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    go(dataset, tmp_path / "run")
    assert memory["run 0"]["epochs"] == [1, 2, 3, 4, 5]


def test_an_unknown_tracker_is_refused_before_anything_is_written(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown tracker 'neptune'; allowed: tensorboard, mlflow, wandb"):
        go(dataset, tmp_path / "run", track={"neptune": None})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")])
def test_a_tracker_that_is_not_installed_is_one_line_before_anything_is_written(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    for loaded in [key for key in sys.modules if key.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"which is not installed; run: pip install 'alignrec\[{name}\]'"):
        go(dataset, tmp_path / "run", track={name: None})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("names", "given", "expected"),
    [
        ([], [], {}),
        (["tensorboard", "wandb"], [], {"tensorboard": None, "wandb": None}),
        (["mlflow", "wandb"], ["http://host:5000"], {"mlflow": "http://host:5000", "wandb": None}),
        (["tensorboard"], ["logs/a=b"], {"tensorboard": "logs/a=b"}),
        (
            ["tensorboard", "mlflow"],
            ["mlflow=sqlite:///x.db", "tensorboard=logs"],
            {"tensorboard": "logs", "mlflow": "sqlite:///x.db"},
        ),
    ],
)
def test_a_place_goes_to_the_tracker_that_it_names_or_to_the_only_one(
    names: list[str], given: list[str], expected: dict[str, str | None]
) -> None:
    assert tracker_places(names, given) == expected


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        ([], ["logs"], "cannot tell which tracker"),
        (["wandb"], ["logs"], "cannot tell which tracker"),
        (["tensorboard", "mlflow"], ["logs"], "write --track NAME --track-to NAME=PLACE"),
        (["tensorboard"], ["mlflow=http://host"], "is for mlflow, which is not asked for; add --track mlflow"),
        (["mlflow"], ["a", "b"], "two places for mlflow; keep one"),
    ],
)
def test_a_place_without_its_tracker_is_wrong_use(names: list[str], given: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tracker_places(names, given)


def test_without_trackers_a_run_is_followed_by_nobody(tmp_path: Path) -> None:
    with Tracker(tmp_path / "no run", {}).following():
        pass
    assert not (tmp_path / "no run").exists()
