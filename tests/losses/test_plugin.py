import pytest
import torch

from alignrec.losses import Needs, Plugin, PluginInputs
from alignrec.settings import Settings


class Nothing(Settings):
    """No settings."""


class Silent(Plugin[Nothing]):
    Config = Nothing

    def forward(self, reps, batch):
        return {}


def test_a_plugin_needs_nothing_unless_it_says_so() -> None:
    assert Silent.needs(Nothing()) == Needs(content=False, views=False, features=False)


def test_a_plugin_keeps_its_settings() -> None:
    config = Nothing()
    assert Silent(config, PluginInputs(4), torch.Generator()).config is config


def test_a_plugin_without_losses_cannot_be_made() -> None:
    class Unfinished(Plugin[Nothing]):
        Config = Nothing

    with pytest.raises(TypeError, match="forward"):
        Unfinished(Nothing(), PluginInputs(4), torch.Generator())
