"""Plug-ins by name: one table, one function that makes a plug-in from settings and what it is built for.

The table grows: `register_plugin` adds a class from outside the package, which is then attached by its name.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from alignrec.errors import SettingsError
from alignrec.losses.bm3 import Bm3Alignment
from alignrec.losses.bma import Bma
from alignrec.losses.content_alignment import ContentAlignment
from alignrec.losses.feature_similarity import FeatureSimilarity
from alignrec.losses.fettle import Fettle
from alignrec.losses.plugin import Plugin, PluginInputs
from alignrec.losses.user_item_alignment import UserItemAlignment
from alignrec.settings import add_configurable, find_configurable

__all__ = ["PLUGINS", "create_plugin", "plugin_class", "register_plugin"]

# Any: a plug-in of any settings class
_PLUGINS: dict[str, type[Plugin[Any]]] = {
    "bm3": Bm3Alignment,
    "bma": Bma,
    "cca": ContentAlignment,
    "fettle": Fettle,
    "reg": FeatureSimilarity,
    "uia": UserItemAlignment,
}
PLUGINS: Mapping[str, type[Plugin[Any]]] = MappingProxyType(_PLUGINS)  # grows with `register_plugin`


def register_plugin(name: str, cls: type[Plugin[Any]]) -> None:
    """Let `cls` be attached as `name` in this process: `alignrec.train(..., plugins=[name])`.

    The same class may be registered again, as by a notebook's cell that runs twice; its latest form counts.

    Raises:
        SettingsError: the name is taken or not usable, or `cls` is no `Plugin` with a `Config`.
    """
    if hasattr(nn.ModuleDict(), name.lower()):  # plug-ins are the members of one
        raise SettingsError(f"a plugin cannot be called {name!r}, as PyTorch's modules have an attribute of that name")
    add_configurable(_PLUGINS, "plugin", name, cls, Plugin)


def plugin_class(name: str) -> type[Plugin[Any]]:
    """The plug-in called `name` (case does not matter).

    Raises:
        SettingsError: no such plug-in.
    """
    return find_configurable(PLUGINS, "plugin", name)


def create_plugin(
    name: str, inputs: PluginInputs, rng: torch.Generator, settings: Mapping[str, Any] | None = None
) -> Plugin[Any]:
    """Make the plug-in `name` with its initial parameters drawn from `rng`.

    Raises:
        SettingsError: unknown plug-in or setting.
    """
    cls = plugin_class(name)
    return cls(cls.Config.create(settings, section=f"plugin.{name.lower()}"), inputs, rng)
