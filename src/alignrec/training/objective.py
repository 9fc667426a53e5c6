"""What is minimised: a backbone's losses plus those of weighted plug-ins, as named parts."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from alignrec.models import Backbone
from alignrec.types import Batch

__all__ = ["Objective"]


class Objective(nn.Module):
    """A backbone and plug-ins, each of which maps (Representations, Batch) to a scalar.

    Parameters of plug-ins train and checkpoint with the backbone's; what is served needs the backbone alone.
    """

    def __init__(
        self,
        backbone: Backbone[Any],
        plugins: Mapping[str, nn.Module] | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.plugins = nn.ModuleDict(dict(plugins or {}))
        self.weights = {name: float((weights or {}).get(name, 1.0)) for name in self.plugins}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of `batch` by name; their sum is the loss."""
        reps, batch = self.backbone.represent_batch(batch)
        terms = self.backbone.losses(reps, batch)
        for name, plugin in self.plugins.items():
            terms[name] = self.weights[name] * plugin(reps, batch)
        return terms
