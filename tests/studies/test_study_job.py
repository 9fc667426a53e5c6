import io
import json
import sys

import pytest
from datasets import small_dataset

from alignrec.studies import Run, train
from alignrec.studies.study_job import is_evaluated, main, run_cell


def request(data, **changed):
    settings = {"model": {}, "training": {"epochs": 2}}
    return {"dataset": str(data), "model": "bpr", "settings": settings, "seed": 0, "device": "cpu", **changed}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data") / "small").path


def test_a_cell_is_the_run_that_train_would_have_made_and_is_evaluated(data, tmp_path):
    cell = run_cell(request(data), tmp_path / "cell", ("recall@5",))
    alone = train(data, model="bpr", out=tmp_path / "alone", settings={"training": {"epochs": 2}})
    for name in ("metrics.jsonl", "model.safetensors", "representations.safetensors"):
        assert (cell.path / name).read_bytes() == (alone.path / name).read_bytes()
    assert is_evaluated(cell, ("recall@5",))
    assert not is_evaluated(cell, ("recall@7",))
    assert not is_evaluated(alone, ("recall@5",))


def test_a_finished_cell_is_left_as_it_is(data, tmp_path):
    first = run_cell(request(data), tmp_path / "cell", ("recall@5",))
    before = (first.path / "report.json").stat().st_mtime_ns
    again = run_cell(request(data), tmp_path / "cell", ("recall@5",))
    assert (again.path / "report.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [({}, 0, ""), ({"model": "none"}, 1, "unknown model 'none'"), ({"dataset": "nowhere"}, 1, "nowhere")],
)
def test_the_process_says_in_a_line_why_it_failed(data, tmp_path, monkeypatch, capsys, changed, code, message):
    asked = {"request": request(data, **changed), "out": str(tmp_path / "cell"), "metrics": ["recall@5"]}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asked)))
    assert main() == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == code
    assert Run(tmp_path / "cell").finished == (code == 0)
