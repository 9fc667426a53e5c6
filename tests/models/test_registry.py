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


PUBLISHED = {
    "sgl": {"n_layers": 3, "edge_dropout": 0.1, "contrastive_weight": 0.1, "temperature": 0.2, "l2_weight": 1e-4},
    "ncl": {"n_layers": 3, "structure_layer": 2, "item_weight": 1, "n_prototypes": 1000, "temperature": 0.1},
    "mmgcn": {"n_layers": 3, "latent_size": 256},
    "grcn": {"n_layers": 2, "n_routings": 3},
    "dualgnn": {"n_layers": 2, "hidden_size": 256, "n_user_neighbors": 40},
    "lattice": {"n_layers": 2, "n_content_layers": 1, "n_neighbors": 10, "initial_share": 0.9},
    "slmrec": {"n_layers": 3, "temperature": 0.2},
    "bm3": {"n_layers": 1, "content_weight": 2, "dropout": 0.5, "reg_weight": 0.1},
    "freedom": {"n_layers": 2, "n_content_layers": 1, "n_neighbors": 10},
    "mgcn": {"n_layers": 2, "n_content_layers": 1, "n_neighbors": 10, "temperature": 0.2, "l2_weight": 1e-4},
    "lgmrec": {"n_layers": 2, "n_content_layers": 2, "hyperedge_temperature": 0.2, "temperature": 0.2}
    | {"global_weight": 0.3, "contrastive_weight": 1e-4, "reg_weight": 1e-6},
    "dream": {"n_layers": 2, "n_content_layers": 1, "n_neighbors": 10, "n_user_neighbors": 20, "temperature": 0.2}
    | {"l2_weight": 1e-4, "trainable_features": True},
    "alignrec": {"n_layers": 2, "n_content_layers": 1, "n_neighbors": 10, "cca_weight": 0.01, "uia_weight": 0.1}
    | {"temperature": 0.2, "l2_weight": 1e-4, "trainable_features": True, "alias_reg_target": False},
}
SCHEDULES = {
    "lattice": {"lr_decay": 0.96},
    "mgcn": {"lr_decay": 0.96},
    "alignrec": {"lr_decay": 0.96, "patience": 30},
    "slmrec": {"weight_decay": 1e-4},
}


@pytest.mark.parametrize("model", MODELS)
def test_a_model_without_settings_has_those_that_its_paper_or_its_authors_code_fixes(model: str) -> None:
    settings = model_class(model).Config().model_dump()
    expected = {"embedding_size": 64} | PUBLISHED.get(model, {})
    assert {name: settings[name] for name in expected} == expected
    assert model_class(model).training_defaults.items() >= SCHEDULES.get(model, {}).items()


@pytest.mark.parametrize("model", MODELS)
def test_a_model_of_contents_says_that_it_needs_features_and_the_others_do_without(model: str) -> None:
    bare = type(checkerboard()[0])(checkerboard()[0].interactions)
    if model in ("bpr", "lightgcn", "sgl", "directau", "ncl"):
        settings = {"n_prototypes": 2} if model == "ncl" else {}
        create_model(model, bare, torch.Generator(), settings).represent()
    else:
        with pytest.raises(SettingsError, match="needs item features and none are given; add --features NAME"):
            create_model(model, bare, torch.Generator())


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
