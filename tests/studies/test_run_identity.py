from dataclasses import replace

import pytest
from datasets import small_dataset

from alignrec.errors import SettingsError
from alignrec.studies.run_identity import run_key, with_present_settings
from alignrec.studies.run_planning import plan_run


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    import torch

    data = small_dataset(tmp_path_factory.mktemp("data") / "small")
    return plan_run(data, "vbpr", ["content"], [], {}, 0, torch.device("cpu"), 1)


def changed(plan, section, key, value):
    return replace(plan, settings={**plan.settings, section: {**plan.settings[section], key: value}})


def test_what_changes_no_number_does_not_change_the_key(plan):
    same = replace(plan, device="cuda:0", threads=4, versions={})
    assert run_key(changed(same, "training", "checkpoint_seconds", 7.0)) == run_key(plan)


def test_what_changes_numbers_changes_the_key(plan):
    others = [
        replace(plan, seed=1),
        replace(plan, features={"content": "0" * 64}),
        replace(plan, dataset={"name": "small", "hash": "0" * 64}),
        changed(plan, "training", "lr", 0.5),
        changed(plan, "model", "reg_weight", 0.5),
    ]
    assert len({run_key(each) for each in [plan, *others]}) == 6


def test_the_key_of_a_plan_is_that_of_earlier_versions_so_that_their_runs_are_found_again(plan):
    fixed = replace(
        plan,
        model="vbpr",
        dataset={"name": "any", "hash": "0" * 64},
        features={"content": "1" * 64},
        settings={"model": {"reg_weight": 0.1}, "training": {"lr": 0.001}},
        seed=3,
    )
    assert run_key(fixed) == "a60ab1eaea56e417677a"


def test_the_code_of_a_model_from_outside_is_in_the_key(plan):
    first, second = (replace(plan, code={"own": digit * 64}) for digit in "23")
    assert len({run_key(each) for each in (plan, first, second)}) == 3


def test_a_plan_from_before_a_plugins_setting_existed_is_the_plan_with_its_default(plan):
    sections = plan.settings | {"plugin.cca": {"weight": 0.5}}
    found = with_present_settings(replace(plan, settings=sections))
    assert found.settings["plugin.cca"] == {"weight": 0.5, "temperature": 0.2}


def test_a_plan_from_before_a_setting_existed_is_the_plan_with_its_default(plan):
    old = {name: value for name, value in plan.settings["model"].items() if name != "trainable_features"}
    stored = replace(plan, settings={**plan.settings, "model": old})
    assert run_key(with_present_settings(stored)) == run_key(plan)


def test_a_plan_with_a_setting_that_is_no_more_is_refused(plan):
    with pytest.raises(SettingsError, match=r"unknown setting 'model\.gone'"):
        with_present_settings(changed(plan, "model", "gone", 1))


def test_a_plan_with_somebodys_own_model_keeps_its_settings_where_the_model_is_not_known(plan):
    own = replace(plan, model="own", settings={"model": {"size": 3}, "training": {}, "plugin.own": {"weight": 1.0}})
    found = with_present_settings(own)
    assert (found.settings["model"], found.plugins) == ({"size": 3}, {"own": {"weight": 1.0}})
    assert found.settings["training"] == plan.settings["training"]
