import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from datasets import small_dataset

from alignrec.artifacts import hash_file
from alignrec.studies.tuning.tune import tune

pytest.importorskip("optuna")

SETTINGS = {"model": {"embedding_size": 4}, "training": {"epochs": 4, "batch_size": 64, "checkpoint_seconds": 0}}
SPACE = {"training.lr": [0.1, 0.01, 0.001]}

SCRIPT = """
import json, sys, time
from alignrec.models import LightGCN
from alignrec.studies.tuning.tune import tune
LightGCN.start_epoch = lambda self, rng: time.sleep(float(sys.argv[5]))
dataset, out, settings, space = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
tune(dataset, model="lightgcn", out=out, settings=settings, space=space, defaults=False,
     announce=lambda line: print(line, flush=True))
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data") / "small")


def search(dataset, out, **changed):
    return tune(
        dataset, **{"model": "lightgcn", "out": out, "settings": SETTINGS, "space": SPACE, "defaults": False} | changed
    )


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """A search that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "tune"
    search(dataset, out)
    return out


def start(dataset, out, pause):
    """A process that works on the search, `pause` seconds or more for an epoch."""
    words = [
        sys.executable,
        "-c",
        SCRIPT,
        str(dataset.path),
        str(out),
        json.dumps(SETTINGS),
        json.dumps(SPACE),
        str(pause),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(process, log, lines):
    deadline = time.monotonic() + 200
    while not (log.is_file() and len(log.read_text().splitlines()) >= lines):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run_files(out):
    return {
        str(path.relative_to(out)): hash_file(path)
        for path in sorted(out.glob("trials/*/*"))
        if path.name not in ("run.json", "timing.jsonl")
    }


def test_a_search_that_was_killed_goes_on_and_ends_with_the_bytes_of_one_that_was_not(dataset, whole, tmp_path):
    out = tmp_path / "tune"
    process = start(dataset, out, pause=0.05)
    wait_for(process, out / "trials" / "0001" / "metrics.jsonl", lines=2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finished = out / "trials" / "0000" / "report.json"
    before = finished.stat().st_mtime_ns
    said = []
    result = search(dataset, out, announce=said.append)
    assert said[0].endswith("; 1 are done")
    assert [line.split(":")[0].split()[1] for line in said[1:]] == ["1", "2"]
    assert [trial.state for trial in result.trials] == ["complete"] * 3
    assert finished.stat().st_mtime_ns == before, "a finished trial is not trained again"
    assert (out / "tune.csv").read_bytes() == (whole / "tune.csv").read_bytes()
    assert run_files(out) == run_files(whole)


def test_two_processes_share_a_grid_and_no_point_is_run_twice(dataset, whole, tmp_path):
    out = tmp_path / "tune"
    process, here = start(dataset, out, pause=1.0), []
    wait_for(process, out / "trials" / "0000" / "metrics.jsonl", lines=1)
    search(dataset, out, announce=here.append)
    there = process.communicate(timeout=200)[0].splitlines()
    assert process.returncode == 0, there
    ran = [[int(line.split()[1]) for line in said if line.startswith("trial ")] for said in (there, here)]
    assert 0 in ran[0]
    assert ran[1]
    assert sorted(ran[0] + ran[1]) == [0, 1, 2]
    assert (out / "tune.csv").read_bytes() == (whole / "tune.csv").read_bytes()
    assert run_files(out) == run_files(whole)


def test_a_trial_that_another_process_runs_is_left_to_it(dataset, tmp_path):
    from filelock import FileLock

    out = tmp_path / "tune"
    search(dataset, out, trials=1)
    (out / "locks").mkdir(exist_ok=True)
    with FileLock(out / "locks" / "0001.lock"):
        # the number of the next trial is taken: nothing is claimed and nothing is lost
        assert len(search(dataset, out).trials) == 1
    assert len(search(dataset, out).trials) == 3


def test_a_trial_that_cannot_be_trained_is_noted_and_the_search_goes_on(dataset, tmp_path):
    space = {"model.n_prototypes": [4, 500], "training.lr": [0.01]}
    settings = {"training": {"epochs": 1}}
    result = search(dataset, tmp_path / "tune", model="ncl", settings=settings, space=space)
    assert [trial.state for trial in result.trials] == ["complete", "failed"]
    assert "500" in (result.trials[1].reason or "")
    assert result.best.number == 0


def test_ctrl_c_leaves_a_trial_that_the_same_call_goes_on_with(dataset, whole, tmp_path, monkeypatch):
    from alignrec.models import LightGCN
    from alignrec.studies import TrainingStoppedError

    out = tmp_path / "tune"
    with monkeypatch.context() as patch:
        patch.setattr(LightGCN, "start_epoch", lambda self, rng: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(TrainingStoppedError, match=r"trial 0 stopped after epoch 1 .*; the same command goes on"):
            search(dataset, out)
    search(dataset, out)
    assert run_files(out) == run_files(whole)


def test_the_first_file_of_a_run_cut_short_does_not_stand_in_the_way(dataset, tmp_path, monkeypatch):
    from alignrec.studies import Run

    out = tmp_path / "tune"

    def dies(self: Run, *_rest: object) -> None:
        (self.path / ".run.json.half.part").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "start", dies)
        with pytest.raises(KeyboardInterrupt):
            search(dataset, out)
    assert [trial.state for trial in search(dataset, out).trials] == ["complete"] * 3


def test_a_folder_of_something_else_or_of_another_search_is_refused(dataset, whole, tmp_path):
    from alignrec.errors import ArtifactError

    with pytest.raises(ArtifactError, match="exists and is not a search; choose another --out"):
        search(dataset, dataset.path)
    with pytest.raises(ArtifactError, match="holds another search: model was 'lightgcn', now 'directau'"):
        search(dataset, whole, model="directau")
    with pytest.raises(ArtifactError, match=r"holds another search: space training\.lr was .*, now \[0\.1\]"):
        search(dataset, whole, space=SPACE | {"training.lr": [0.1]})
    other = small_dataset(tmp_path / "other")
    assert Path(other.path) != dataset.path
    assert len(search(other, whole).trials) == 3, "the same data at another place is the same"
