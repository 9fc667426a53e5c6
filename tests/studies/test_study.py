import json
import shutil

import pytest
from datasets import small_dataset

from alignrec.errors import AlignrecError, UsageError
from alignrec.studies.study import Study, run_study
from alignrec.studies.study_display import StudyDisplay
from alignrec.studies.study_runner import StudyStoppedError
from alignrec.studies.study_settings import StudySettings


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Read only."""
    root = tmp_path_factory.mktemp("study")
    data = small_dataset(root / "small").path
    rows = [
        {"label": "mine", "model": "bpr", "settings": {"training.epochs": 2}},
        {"label": "broken", "model": "bpr", "settings": {"training.lr": 1e30, "model.reg_weight": 1e30}},
    ]
    asked = StudySettings(
        name="n", datasets={"d": str(data)}, rows=rows, seeds=[0], metrics=["recall@5", "coverage@20"]
    )
    return run_study(asked, root / "out", jobs=2)


def test_the_folder_remembers_settings_runs_and_failures(study):
    again = Study.open(study.path)
    assert again.settings == study.settings
    assert [(e.row, e.seed, e.run is not None) for e in again.entries] == [("mine", 0, True), ("broken", 0, False)]
    assert again.failures()[0].startswith("broken on d, seed 0: ")


def test_the_tables_name_rows_and_datasets_as_the_study_does_and_show_popularity(study):
    grid = study.comparison().grids()[0]
    assert [label for label, _, _ in grid.rows] == ["popularity", "mine"]
    report = study.entries[0].run.report()
    assert grid.rows[0][2][0].mean == report["popularity"]["test"]["recall@5"]
    assert grid.rows[1][2][1].mean == report["test"]["coverage@20"]
    text = (study.path / "table.md").read_text()
    assert text.startswith("**d, test split**")
    assert "| mine | 1 |" in text
    assert "mine & 1 &" in (study.path / "table.tex").read_text()
    assert (
        json.loads((study.path / "comparison.json").read_text())["tables"][0]["untrained"]["popularity"]["recall@5"] > 0
    )


def test_without_its_baseline_rows_are_tested_against_the_best_other(study):
    lost = study.settings.model_copy(update={"baseline": "broken"})
    assert Study(study.path, lost, study.entries).comparison().tables[0].baseline is None


def test_a_study_shares_its_runs_with_another(study, tmp_path, monkeypatch):
    monkeypatch.setattr("alignrec.studies.study_runner._start", lambda *_: pytest.fail("a run was made again"))
    asked = study.settings.model_copy(update={"rows": study.settings.rows[:1], "name": "other"})
    other = run_study(asked, tmp_path / "other", runs=study.path / "runs")
    assert other.entries[0].run.path.samefile(study.entries[0].run.path)


def test_metrics_are_checked_before_anything_is_trained(study, tmp_path):
    for metric, said in (("coverage@7", "write coverage@20"), ("accuracy@5", "unknown metric")):
        with pytest.raises(UsageError, match=said):
            run_study(study.settings.model_copy(update={"metrics": [metric]}), tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_study_may_ask_for_figures_beyond_accuracy_alone(study, tmp_path):
    asked = study.settings.model_copy(update={"rows": study.settings.rows[:1], "metrics": ["coverage@20"]})
    other = run_study(asked, tmp_path / "other", runs=study.path / "runs")
    assert other.comparison().metrics == ("coverage@20",)
    assert other.comparison().tables[0].contrasts == ()


def test_a_study_that_is_stopped_says_what_is_there(study, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("alignrec.studies.study_runner._start", interrupted)
    with pytest.raises(StudyStoppedError):
        run_study(study.settings, tmp_path / "stopped", runs=study.path / "runs")
    left = Study.open(tmp_path / "stopped")
    assert [entry.error for entry in left.entries] == [None, "not run yet"]
    assert left.comparison().tables[0].groups[0].label == "mine"


def test_a_study_can_be_looked_at_while_it_runs(study, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        StudyDisplay, "ended", lambda *_: seen.append([e.error is None for e in Study.open(tmp_path / "o").entries])
    )
    asked = study.settings.model_copy(update={"rows": study.settings.rows[:1], "seeds": [1, 2]})
    run_study(asked, tmp_path / "o")
    assert seen == [[True, False], [True, True]]


def test_a_folder_that_is_no_study_is_left_alone(study, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(AlignrecError, match="is not the folder of a study"):
        run_study(study.settings, tmp_path)
    with pytest.raises(AlignrecError, match="no study in"):
        Study.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_where_every_run_fails_no_tables_of_the_study_before_are_left(study, tmp_path):
    folder = shutil.copytree(study.path, tmp_path / "out")
    asked = study.settings.model_copy(update={"rows": study.settings.rows[1:]})
    with pytest.raises(AlignrecError, match="every run of the study failed; the first: broken on d, seed 0"):
        run_study(asked, folder)
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["study.json"]
