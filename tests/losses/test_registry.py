from unittest.mock import patch

import pytest
import torch

from alignrec.errors import SettingsError
from alignrec.losses import PLUGINS, PluginInputs, create_plugin, plugin_class, register_plugin, registry
from alignrec.losses.fettle import Fettle
from alignrec.losses.user_item_alignment import UserItemAlignment


class Own(UserItemAlignment):
    """A plug-in from outside the package."""


def test_a_registered_plugin_is_made_by_its_name() -> None:
    with patch.dict(registry._PLUGINS):
        register_plugin("Own", Own)
        assert type(create_plugin("own", PluginInputs(4), torch.Generator(), {"weight": 1})) is Own
        assert "own" in PLUGINS


PUBLISHED = {
    "bm3": {"weight": 0.01, "dropout": 0.3, "detach_id": False},
    "bma": {"intra_weight": 0.01, "inter_weight": 0.01, "temperature": 0.2},
    "cca": {"weight": 0.01, "temperature": 0.2},
    "fettle": {"item_alignment": True, "direction_tuning": True, "cluster_alignment": True, "direction": "directed"}
    | {"learn_temperatures": True, "feedback": "cosine", "sinkhorn_temperature": 0.05, "sinkhorn_iterations": 3},
    "reg": {"form": "dot"},
    "uia": {"weight": 0.1},
}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_without_settings_has_those_of_its_paper_or_its_authors_code(plugin: str) -> None:
    settings = plugin_class(plugin).Config().model_dump()
    assert {name: settings[name] for name in PUBLISHED[plugin]} == PUBLISHED[plugin]


def test_a_name_with_a_dot_is_refused_because_settings_could_not_name_it() -> None:
    with pytest.raises(SettingsError, match=r"plugin name 'own\.one' is not usable; use letters, digits, '_' and '-'"):
        register_plugin("own.one", Own)


@pytest.mark.parametrize("name", ["half", "Items", "training"])
def test_a_name_that_pytorch_s_modules_use_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"a plugin cannot be called '{name}'"):
        register_plugin(name, Own)


def test_names_are_found_whatever_their_case() -> None:
    assert plugin_class("FETTLE") is Fettle


def test_an_unknown_name_suggests_the_nearest_and_lists_all() -> None:
    with pytest.raises(SettingsError, match=r"unknown plugin 'fetle'; did you mean 'fettle'\? allowed: bm3, bma, cca"):
        plugin_class("fetle")


def test_an_unknown_setting_names_its_section() -> None:
    with pytest.raises(SettingsError, match=r"unknown setting 'plugin\.cca\.wight'; did you mean 'weight'"):
        create_plugin("cca", PluginInputs(4), torch.Generator(), {"wight": 1})


def test_every_plugin_says_what_it_is() -> None:
    assert all(cls.__doc__ and cls.Config.__doc__ for cls in PLUGINS.values())
