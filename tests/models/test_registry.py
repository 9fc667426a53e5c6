from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch
from checkerboard import checkerboard

from alignrec.errors import SettingsError
from alignrec.models import BPR, MODELS, create_model, model_class, register_model, registry


@pytest.fixture
def own_table() -> Iterator[None]:
    """What a test registers is gone after it."""
    with patch.dict(registry._MODELS):
        yield


class Own(BPR):
    """A model from outside the package."""


@pytest.mark.usefixtures("own_table")
def test_a_registered_model_is_made_by_its_name() -> None:
    register_model("Own-BPR", Own)
    data, _ = checkerboard()
    assert type(create_model("own-bpr", data, torch.Generator(), {"embedding_size": 4})) is Own
    assert "own-bpr" in MODELS


@pytest.mark.usefixtures("own_table")
def test_no_model_takes_the_name_of_another() -> None:
    with pytest.raises(SettingsError, match=r"model 'bpr' exists: alignrec\.models\.bpr\.BPR; choose another name"):
        register_model("bpr", Own)


def test_the_table_of_models_cannot_be_changed_otherwise() -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        MODELS["own"] = Own  # type: ignore[index]


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
