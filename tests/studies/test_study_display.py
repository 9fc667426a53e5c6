import io

import pytest
from datasets import small_dataset
from rich.console import Console

from alignrec.studies.study_cells import study_cells
from alignrec.studies.study_display import StudyDisplay, name_of
from alignrec.studies.study_settings import StudySettings


@pytest.fixture
def cells(tmp_path):
    data = small_dataset(tmp_path / "small").path
    study = StudySettings(name="n", datasets={"small": str(data)}, rows=[{"model": "bpr"}], seeds=[0, 1, 2])
    return study_cells(study)


def shown(renderable):
    console = Console(file=io.StringIO(), width=100)
    console.print(renderable)
    return console.file.getvalue()


def test_every_cell_shows_its_state_and_how_far_it_is(cells, tmp_path):
    display = StudyDisplay(Console(file=io.StringIO()), jobs=1)
    with display.watching(cells, cells[:1]):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "metrics.jsonl").write_text("{}\n{}\n")
        display.started(cells[1], tmp_path / "run")
        assert "✓ epoch 2 ·" in shown(display.table())
        display.ended(cells[1], "loss is not finite", 2.0)
        text = shown(display.table())
    assert "✓ failed ·" in text
    assert "bpr on small, seed 1: loss is not finite" in " ".join(text.split())


def test_the_time_left_is_the_mean_of_what_ended_shared_among_jobs(cells, tmp_path):
    display = StudyDisplay(Console(file=io.StringIO()), jobs=2)
    with display.watching(cells, []):
        assert display.seconds_left() is None
        display.ended(cells[0], None, 10.0)
        assert display.seconds_left() == pytest.approx(2 * 10 / 2)


def test_off_a_terminal_every_end_is_a_line(cells):
    out = io.StringIO()
    display = StudyDisplay(Console(file=out, width=200))
    with display.watching(cells, cells[:1]):
        display.ended(cells[1], None, 61.2)
    assert out.getvalue().splitlines() == [
        "1 of 3 runs are there already",
        f"2/3 {name_of(cells[1])}: done in 61 s",
    ]
