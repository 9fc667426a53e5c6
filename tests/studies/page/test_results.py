import shutil
from dataclasses import replace

import pytest
from page_study import with_failures

from alignrec.errors import UsageError
from alignrec.studies.page.results import gather_results


def test_a_dataset_is_compared_as_the_study_compares_it(page_study):
    (found,) = gather_results(page_study)
    assert found.table.as_dict() == page_study.comparison().tables[0].as_dict()
    assert found.data.content_hash == found.table.dataset_hash


def test_rows_keep_the_studys_order_and_the_first_seed_stands_for_them(page_study):
    (found,) = gather_results(with_failures(page_study))
    assert found.rows == ["<u>flat</u>", "deep (n_layers=1)", "deep (n_layers=2)", "broken"]
    assert {row: plan.seed for row, (_, plan) in found.first_runs().items()} == dict.fromkeys(found.rows[:3], 0)
    assert [(entry.row, entry.seed) for entry in found.failures] == [("<u>flat</u>", 1), ("broken", 0), ("broken", 1)]


def test_a_baseline_that_failed_leaves_the_others_compared(page_study):
    failed = with_failures(page_study)
    failed = replace(failed, settings=failed.settings.model_copy(update={"baseline": "broken"}))
    (found,) = gather_results(failed)
    assert len(found.table.groups) == 3
    assert found.table.baseline is None


def test_a_study_without_a_finished_run_has_no_table(page_study):
    entries = tuple(replace(entry, run=None, error="not run yet") for entry in page_study.entries)
    (found,) = gather_results(replace(page_study, entries=entries))
    assert (found.table, found.data, found.absence) == (None, None, "no run is finished")


def test_another_dataset_in_the_place_of_the_studys_is_not_shown(page_study, shop32, tmp_path):
    (found,) = gather_results(page_study, {"d": shop32})
    assert found.data is None
    assert "--dataset d=FOLDER says where it is" in found.absence
    assert str(shop32) not in found.absence
    moved = shutil.copytree(page_study.settings.datasets["d"], tmp_path / "moved")
    assert gather_results(page_study, {"d": moved})[0].data.path == moved


def test_a_dataset_the_study_does_not_have_is_wrong_use(page_study):
    with pytest.raises(UsageError, match="the study has no dataset 'x'; there are: d"):
        gather_results(page_study, {"x": "folder"})
