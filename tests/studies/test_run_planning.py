import inspect

import numpy as np
import pytest
import torch
from datasets import small_dataset

from alignrec.errors import AlignrecError, SettingsError
from alignrec.models import BPR, registry
from alignrec.studies.run_identity import run_key
from alignrec.studies.run_planning import code_hashes, plan_run


def plan(data, model="lightgcn", features=(), plugins=(), settings=None):
    return plan_run(data, model, features, plugins, settings or {}, 0, torch.device("cpu"), 1)


def test_every_default_is_filled_in_and_a_model_s_own_defaults_come_first(tmp_path):
    data = small_dataset(tmp_path / "small")
    found = plan(data, "AlignRec", ["content"], ["UIA"], {"training": {"lr": 0.5}})
    assert (found.model, list(found.plugins)) == ("alignrec", ["uia"])
    assert found.settings["training"]["lr"] == 0.5
    assert found.settings["training"]["patience"] == 30
    assert found.features == {"content": data.features("content").content_hash}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"model": "lightgnc"}, "did you mean 'lightgcn'"),
        ({"features": ["contents"]}, "contents"),
        ({"features": "content"}, "features cannot be the single string 'content'; give a list of names"),
        ({"plugins": "uia"}, "plugins cannot be the single string 'uia'; give a list of names"),
        ({"features": ["content", "content"]}, "features 'content' are named 2 times; name them once"),
        ({"features": [3]}, r"features are called by their names, not by a int; .*save_features\("),
        ({"settings": {"training": 3}}, "settings 'training' cannot be 3; give names and values"),
        ({"settings": {"training.lr": 3}}, r"settings 'training\.lr' cannot be 3; give {'training': {'lr': 3}}"),
        ({"settings": {"model": {"layers": 1}}}, "unknown setting 'model.layers'"),
        ({"settings": {"plugin.uia": {}}}, "which is not attached; add --plugin uia"),
    ],
)
def test_nothing_unknown_gets_into_a_plan(tmp_path, asked, message):
    with pytest.raises(AlignrecError, match=message):
        plan(small_dataset(tmp_path / "small"), **asked)


class Own(BPR):
    """A model that is not of the package."""


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setitem(registry._MODELS, "own", Own)
    return "own"


def test_code_from_outside_makes_another_run_when_it_changes(own, tmp_path, monkeypatch):
    data = small_dataset(tmp_path / "small")
    before = plan(data, own)
    assert list(before.code) == ["model"]
    monkeypatch.setattr(inspect, "getsource", lambda unit: "edited")
    after = plan(data, own)
    assert run_key(before) != run_key(after)
    assert after.difference(before).startswith("code model: was ")


def test_built_in_code_is_not_hashed_so_that_keys_outlive_versions():
    assert code_hashes("vbpr", ["bma"]) == {}


def test_code_that_was_typed_in_has_no_source(own, monkeypatch):
    def unknown(unit):
        raise OSError("could not get source code")

    monkeypatch.setattr(inspect, "getsource", unknown)
    assert list(code_hashes(own, [])) == ["model"]


def test_whole_numbers_of_any_type_are_seeds_and_nothing_else_is(tmp_path):
    data = small_dataset(tmp_path / "data")
    assert plan_run(data, "bpr", [], [], {}, np.int64(3), torch.device("cpu"), 1).seed == 3
    for seed in (1.5, "a", None, True):
        with pytest.raises(SettingsError, match=r"seed cannot be .*; give a whole number"):
            plan_run(data, "bpr", [], [], {}, seed, torch.device("cpu"), 1)
    with pytest.raises(SettingsError, match="plugins cannot be a mapping; give a list of names"):
        plan_run(data, "bpr", [], {"uia": {"weight": 0.7}}, {}, 0, torch.device("cpu"), 1)
