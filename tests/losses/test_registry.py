import pytest
import torch

from alignrec.errors import SettingsError
from alignrec.losses import PLUGINS, PluginInputs, create_plugin, plugin_class
from alignrec.losses.fettle import Fettle


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
