import pytest
import torch
from checkerboard import checkerboard

from alignrec.errors import SettingsError
from alignrec.models import MODELS, create_model, model_class


def test_model_names_ignore_case() -> None:
    assert model_class("AlignRec") is MODELS["alignrec"]


def test_unknown_model_names_the_nearest_and_all_allowed() -> None:
    with pytest.raises(SettingsError, match=r"unknown model 'lightgnc'; did you mean 'lightgcn'\? allowed: bpr, "):
        model_class("lightgnc")


def test_unknown_setting_is_refused_by_name() -> None:
    data, _ = checkerboard()
    with pytest.raises(SettingsError, match=r"'model\.n_layer'; did you mean 'n_layers'"):
        create_model("lightgcn", data, torch.Generator(), {"n_layer": 3})


def test_a_setting_of_the_wrong_type_says_what_was_given() -> None:
    data, _ = checkerboard()
    with pytest.raises(SettingsError, match=r"'model\.n_layers' cannot be 'many'"):
        create_model("lightgcn", data, torch.Generator(), {"n_layers": "many"})
