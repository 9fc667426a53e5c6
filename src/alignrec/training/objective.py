"""What is minimised: a backbone's losses plus those of plug-ins, as named parts."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from alignrec.errors import SettingsError
from alignrec.losses import Needs, Plugin, PluginInputs, create_plugin, plugin_class
from alignrec.models import Backbone
from alignrec.runtime import torch_rng
from alignrec.training.completion import Completion, Provided
from alignrec.types import Batch, Representations, TrainData

__all__ = ["Objective", "attach_plugins"]


class Objective(nn.Module):
    """A backbone and plug-ins, each of which maps (Representations, Batch) to named scalars.

    Parameters of plug-ins train and checkpoint with the backbone's; what is served needs the backbone alone.
    """

    def __init__(
        self,
        backbone: Backbone[Any],
        plugins: Mapping[str, nn.Module] | None = None,
        completion: Completion | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.plugins = nn.ModuleDict(dict(plugins or {}))
        self.completion = completion

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of `batch` by name; their sum is the loss. A plug-in's are called `plugin.term`."""
        reps, rows = self._represent(batch)
        terms = self.backbone.losses(reps, rows)
        if self.completion is not None:
            reps, rows = self.completion(reps, rows)
        for name, plugin in self.plugins.items():
            terms |= {f"{name}.{term}": value for term, value in plugin(reps, rows).items()}
        return terms

    def _represent(self, batch: Batch) -> tuple[Representations, Batch]:
        if self.completion is not None and self.completion.needs_all_rows:
            return self.backbone.represent(), batch
        return self.backbone.represent_batch(batch)


def attach_plugins(
    backbone: Backbone[Any], data: TrainData, plugins: Mapping[str, Mapping[str, Any]], seed: int
) -> Objective:
    """The objective of `backbone` with plug-ins, and with what they need and it does not provide.

    The order of `plugins` does not matter: they are attached in the order of their names, and what one draws depends
    on `seed` and its own name.

    Args:
        backbone: any.
        data: the training data the backbone was made of.
        plugins: name of a plug-in -> its settings; what is not named keeps its default.
        seed: of the run.

    Raises:
        SettingsError: unknown plug-in or setting, a plug-in needs features and there are none, or it could not reach
            what the backbone scores with.
    """
    if not plugins:
        return Objective(backbone)
    provided = _provided(backbone)
    needs = {}
    for name in sorted(plugins):
        cls = plugin_class(name)
        needs[name] = cls.needs(cls.Config.create(plugins[name], section=f"plugin.{name}"))
        _refuse_missing(name, needs[name], provided, data)
    merged = Needs(
        content=any(need.content for need in needs.values()), views=any(need.views for need in needs.values())
    )
    completion = Completion(merged, provided, data, seed)
    inputs = PluginInputs(provided.size, completion.modalities, data.features)
    made: dict[str, Plugin[Any]] = {
        name: create_plugin(name, inputs, torch_rng(seed, "plugin", name), plugins[name]) for name in needs
    }
    return Objective(backbone, made, completion)


def _provided(backbone: Backbone[Any]) -> Provided:
    was_training = backbone.training
    backbone.eval()  # whole graphs, no dropout: nothing is drawn
    with torch.no_grad():
        provided = Provided.by(backbone.represent())
    backbone.train(was_training)
    return provided


def _refuse_missing(name: str, needs: Needs, provided: Provided, data: TrainData) -> None:
    projects = (needs.content or (needs.views and not provided.views)) and not provided.modalities
    if (needs.features or projects) and not data.features:
        raise SettingsError(f"plugin {name!r} needs item features and none are given; add --features NAME")
    if needs.of_host and not provided.modalities:
        raise SettingsError(
            f"plugin {name!r} with {needs.of_host} moves content vectors only, and this model scores with none of its "
            "own: nothing would change; leave the setting out"
        )
