import re
from types import SimpleNamespace

from page_study import with_failures

from alignrec.studies.page.results import gather_results
from alignrec.studies.page.row_settings import differing_settings, settings_markup


def plan(of, **sections):
    return SimpleNamespace(model=of, settings={name.replace("_", "."): keys for name, keys in sections.items()})


def test_a_setting_sets_apart_where_another_row_that_has_it_has_another_value():
    found = differing_settings(
        {
            "a": plan("one", model={"depth": 1, "width": 8}, training={"lr": 0.1, "epochs": 5}),
            "b": plan("one", model={"depth": 2, "width": 8}, training={"lr": 0.1, "epochs": 5}),
            "c": plan("other", model={"depth": 3, "width": 9}, training={"lr": 0.2, "epochs": 5}, plugin_x={"w": 1}),
        }
    )
    assert found == {
        "a": {"model.depth": 1, "training.lr": 0.1},
        "b": {"model.depth": 2, "training.lr": 0.1},
        "c": {"training.lr": 0.2},  # the depth of another model is no difference, nor is what others lack
    }


def test_one_row_alone_is_set_apart_by_nothing():
    assert differing_settings({"a": plan("one", model={"depth": 1}, training={"lr": 0.1})}) == {"a": {}}


def test_the_rows_show_what_differs_first_and_then_everything(page_study):
    results = gather_results(page_study)
    markup = settings_markup(page_study.settings, results)
    table, _, folded = markup.partition("<details>")
    assert re.findall(r"model\.n_layers=(\d)", table) == ["1", "2"]
    _, resolved = results[0].first_runs()["deep (n_layers=2)"]
    for section, keys in resolved.settings.items():
        for key in keys:
            assert f"<code>{section}.{key}</code>" in folded
    assert markup.count("<details>") == 3


def test_a_row_without_a_run_shows_what_the_study_sets(page_study):
    failed = with_failures(page_study)
    markup = settings_markup(failed.settings, gather_results(failed))
    assert "training.lr=1e+30" in markup.partition("<details>")[0]
    assert "No run is finished; the study sets this" in markup
