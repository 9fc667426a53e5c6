import json
import os
import signal
import subprocess
import sys
import time

import pytest
from datasets import small_dataset

from alignrec.errors import AlignrecError
from alignrec.studies import study_runner, train
from alignrec.studies.study_cells import study_cells
from alignrec.studies.study_runner import make_features, run_cells
from alignrec.studies.study_settings import StudySettings, sections

METRICS = ("recall@5",)


def settings(data, rows, **more):
    return StudySettings(name="n", datasets={"small": str(data)}, rows=rows, **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two seeds of bpr, and a row that cannot be trained, two at a time. Read only."""
    root = tmp_path_factory.mktemp("study")
    data = small_dataset(root / "small").path
    rows = [
        {"model": "bpr", "settings": {"training.epochs": 2}},
        {"label": "diverges", "model": "bpr", "settings": {"training.lr": 1e30, "model.reg_weight": 1e30}},
    ]
    cells = study_cells(settings(data, rows, seeds=[0, 1]))[:3]
    return cells, root / "runs", run_cells(cells, root / "runs", metrics=METRICS, jobs=2)


def test_a_cell_that_fails_says_why_and_the_others_finish(made):
    _, _, results = made
    assert [result.run is not None for result in results] == [True, True, False]
    assert "is not finite" in results[2].error


def test_what_is_there_is_reused_and_only_what_is_missing_is_run(made, monkeypatch):
    cells, folder, _ = made
    monkeypatch.setattr(study_runner, "_start", lambda cell, *_: pytest.fail(f"{cell.label} was run again"))
    assert all(result.reused for result in run_cells(cells[:2], folder, metrics=METRICS))


def test_a_run_says_the_command_that_makes_it_alone(made):
    cells, _, results = made
    command = json.loads((results[0].run.path / "run.json").read_text())["command"]
    assert command == cells[0].command(results[0].run.path)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_study_goes_on_to_the_same_bytes(tmp_path, how):
    data = small_dataset(tmp_path / "small").path
    row = {"model": "bpr", "settings": {"training.epochs": 300, "training.patience": 300}}
    cell = study_cells(settings(data, [row]))[0]
    script = (
        "import json, signal; from pathlib import Path; from alignrec.studies.study_settings import StudySettings\n"
        "from alignrec.studies.study_cells import study_cells; from alignrec.studies.study_runner import run_cells\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background\n"
        f"study = StudySettings.create(json.loads({settings(data, [row]).model_dump_json()!r}))\n"
        f"run_cells(study_cells(study), Path({str(tmp_path / 'runs')!r}), metrics={METRICS!r})\n"
    )
    study = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True
    )
    lines = tmp_path / "runs" / cell.key / "metrics.jsonl"
    deadline = time.monotonic() + 100
    try:
        while not (lines.is_file() and lines.read_bytes().count(b"\n") >= 3):
            assert study.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        study.send_signal(how)
    except BaseException:
        study.kill()  # or its open pipe fails a later test
        raise
    finally:
        _, said = study.communicate()
    assert ("stopped; the same command goes on" in said) == (how == signal.SIGTERM)
    result = run_cells([cell], tmp_path / "runs", metrics=METRICS)[0]
    straight = train(data, model="bpr", out=tmp_path / "straight", settings=sections(row["settings"]))
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (result.run.path / name).read_bytes() == (straight.path / name).read_bytes()


def test_features_are_made_only_where_a_row_is_run(tmp_path, monkeypatch):
    folders = {name: str(small_dataset(tmp_path / name).path) for name in ("one", "other")}
    row = {"model": "vbpr", "features": ["new"], "datasets": ["other"]}
    study = StudySettings(name="n", datasets=folders, rows=[row, {"model": "bpr"}], features={"new": "nowhere"})
    asked = []
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(subprocess, "run", lambda words, **_: asked.append(words) or done)
    make_features(study)
    assert [folders["other"] in words for words in asked] == [True]


def test_features_that_cannot_be_made_stop_the_study_with_the_encoder_s_line(tmp_path):
    data = small_dataset(tmp_path / "small").path
    study = settings(data, [{"model": "vbpr", "features": ["new"]}], features={"new": "nowhere"})
    with pytest.raises(AlignrecError, match="nowhere"):
        make_features(study)
    make_features(settings(data, [{"model": "vbpr", "features": ["content"]}], features={"content": "nowhere"}))
