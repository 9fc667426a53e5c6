"""The examples do what they say, and stay short."""

import subprocess
import sys
from pathlib import Path

import pytest

from alignrec import evaluate, train

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("quickstart")
    return folder, run("quickstart.py", folder, 60)


def run(name: str, *words: object) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart_probes_trains_and_recommends(quickstart: tuple[Path, str]) -> None:
    _, out = quickstart
    assert out.count("zero-shot") == out.count("item-cf") == 3
    assert "test recall@20" in out
    assert "shape: (5, 5)" in out


def test_segments_has_a_column_per_run(quickstart: tuple[Path, str]) -> None:
    folder, _ = quickstart
    out = run("segments.py", folder / "run")
    assert "segment" in out
    assert "run" in out.splitlines()[2]


def test_paired_compares_what_evaluation_reports(quickstart: tuple[Path, str]) -> None:
    folder, _ = quickstart
    other = train(folder / "shop", model="bpr", out=folder / "bpr", settings={"training": {"epochs": 2}})
    out = run("paired.py", folder / "run", "--", other.path)
    first, second = (evaluate(path).model["test"]["recall@20"] for path in (folder / "run", other.path))
    assert f"A {first:.4f}" in out
    assert f"B {second:.4f}" in out
    assert f"A - B {first - second:+.4f}" in out


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_have_at_most_forty_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 40
