import shlex

import pytest
from datasets import small_dataset

from alignrec.cli.app import app
from alignrec.errors import SettingsError
from alignrec.studies import Run, train
from alignrec.studies.study_cells import find_runs, study_cells
from alignrec.studies.study_settings import StudySettings


def cells(data, rows, **more):
    return study_cells(StudySettings(name="n", datasets={"small": str(data)}, rows=rows, **more))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data") / "small").path


def test_cells_are_rows_times_seeds_and_rows_may_be_for_some_datasets(data, tmp_path):
    other = small_dataset(tmp_path / "other").path
    study = StudySettings(
        name="n",
        datasets={"a": str(data), "b": str(other)},
        rows=[{"model": "bpr"}, {"model": "lightgcn", "datasets": ["b"]}],
        seeds=[0, 1],
    )
    found = [(cell.dataset, cell.label, cell.plan.seed) for cell in study_cells(study)]
    assert found == [(d, m, s) for d, m in (("a", "bpr"), ("b", "bpr"), ("b", "lightgcn")) for s in (0, 1)]


def test_a_row_may_have_seeds_of_its_own(data):
    found = cells(data, [{"model": "bpr"}, {"model": "lightgcn", "seeds": [7]}], seeds=[0, 1])
    assert [(cell.label, cell.plan.seed) for cell in found] == [("bpr", 0), ("bpr", 1), ("lightgcn", 7)]


def test_rows_that_are_the_same_run_are_refused(data):
    rows = [{"model": "bpr"}, {"label": "other", "model": "bpr", "settings": {"model.reg_weight": 0.1}}]
    with pytest.raises(SettingsError, match="rows 'bpr' and 'other' are one and the same run on small"):
        cells(data, rows)


def test_rows_that_differ_in_their_seeds_alone_are_refused_as_a_table_would_join_them(data):
    rows = [{"model": "bpr"}, {"label": "other", "model": "bpr", "seeds": [7]}]
    with pytest.raises(SettingsError, match="rows 'bpr' and 'other' are one and the same run on small, whatever"):
        cells(data, rows)


def test_the_command_of_a_cell_trains_the_cell(tmp_path):
    data = small_dataset(tmp_path / "my data").path
    settings = {"training.epochs": 1, "model.modality_weights": {"content": 1.0}, "plugin.uia.weight": 0.5}
    row = {"model": "freedom", "features": ["content"], "plugins": ["uia"], "settings": settings}
    cell = cells(data, [row], seeds=[3])[0]
    app(shlex.split(cell.command(tmp_path / "run"))[1:], standalone_mode=False)
    assert cell.plan.difference(Run(tmp_path / "run").plan) is None


def test_a_finished_run_is_found_under_any_name_and_an_unfinished_one_is_not(data, tmp_path):
    cell = cells(data, [{"model": "bpr", "settings": {"training.epochs": 1}}])[0]
    run = train(data, model="bpr", out=tmp_path / "my-own-name", settings={"training": {"epochs": 1}})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{}")
    assert {key: found.path for key, found in find_runs(tmp_path).items()} == {cell.key: run.path}
    (run.path / "report.json").unlink()
    assert find_runs(tmp_path) == {}
