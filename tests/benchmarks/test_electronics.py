import json
import subprocess
import sys

import pytest

from benchmarks.electronics import interactions, main, measure


def test_the_drawn_log_has_the_size_asked_for_and_every_user_in_it():
    drawn = interactions(500, 200, 3000)
    assert drawn.shape == (500, 200)
    assert 2000 < drawn.nnz <= 3000  # pairs drawn twice count once
    assert drawn.getnnz(axis=1).min() >= 1
    assert set(drawn.data) == {1.0}


@pytest.mark.parametrize("name", ["lightgcn", "lattice", "dream"])
def test_peaks_do_not_fall_and_both_phases_take_time(name):
    found = measure(name, interactions(500, 200, 3000), width=8)
    assert 0 < found["data"] <= found["built"] <= found["stepped"]
    assert found["build_seconds"] >= 0
    assert found["step_seconds"] > 0


@pytest.mark.parametrize(("limit", "code"), [("8", 0), ("0.5", 1)])
def test_a_model_above_the_limit_fails_the_command(monkeypatch, capsys, limit, code):
    found = {"data": 0.1, "built": 0.2, "stepped": 0.6, "build_seconds": 1.0, "step_seconds": 1.0}
    done = subprocess.CompletedProcess([], 0, stdout=json.dumps(found))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    monkeypatch.setattr(sys, "argv", ["electronics", "dream", "--limit", limit])
    assert main() == code
    assert "0.60" in capsys.readouterr().out
