"""Feature tables and the linear maps that bring them to the width of the embeddings, one pair per modality.

There may be any number of modalities of any width, or one unified table: nothing here knows an image from a text.
"""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from alignrec.errors import SettingsError
from alignrec.models.lazy import LazyMapping
from alignrec.ops import FactoredGradient, project, project_table
from alignrec.types import FloatMatrix

__all__ = ["FeatureProjection", "FeatureProjections", "affine", "linear", "modality_shares", "trained_tables"]

Init = Literal["uniform", "xavier_normal", "xavier_uniform"]


class FeatureProjection(nn.Module):
    """One modality: F (I, D) and x = F Wᵀ + b (I, d).

    A trainable table is a parameter that starts as the features; a fixed one is derived from the data and therefore,
    like a graph, not in the state dict.
    """

    table: Tensor
    gradients: list[FactoredGradient] | None = None
    """Where backward passes put the gradient of a trained table, for an optimiser that takes it as factors; None: it
    goes to the parameter, as ever."""

    def __init__(self, features: FloatMatrix, layer: nn.Linear, *, trainable: bool) -> None:
        super().__init__()
        table = torch.tensor(features)  # a copy: training must not write into the data
        if trainable:
            self.table = nn.Parameter(table)
        else:
            self.register_buffer("table", table, persistent=False)
        self.linear = layer

    def forward(self, rows: Tensor | None = None) -> Tensor:
        """Projected features of the items `rows` (r,), or of all: rows nobody reads are not multiplied. (r, d)."""
        product = self.product(rows)
        return product if self.linear.bias is None else product + self.linear.bias

    def product(self, rows: Tensor | None = None) -> Tensor:
        """The same without the bias, F Wᵀ."""
        if self.gradients is not None and self.table.requires_grad:
            return project_table(self.table, self.linear.weight, rows, self.gradients)
        return project(self.table if rows is None else self.table.index_select(0, rows), self.linear.weight)


class FeatureProjections(nn.Module):
    """One `FeatureProjection` per modality, in the order of the data."""

    def __init__(
        self,
        features: Mapping[str, FloatMatrix],
        size: int,
        rng: torch.Generator,
        *,
        trainable: bool,
        init: Init = "uniform",
    ) -> None:
        super().__init__()
        self.names = tuple(features)
        # A list, since a module's name may not be any name that features may have ("v1.5", "items").
        self.of = nn.ModuleList(
            FeatureProjection(table, linear(table.shape[1], size, rng, init), trainable=trainable)
            for table in features.values()
        )

    def __len__(self) -> int:
        return len(self.names)

    def forward(self, rows: Tensor | None = None) -> Mapping[str, Tensor]:
        """Modality -> projected features (r, d) of the items `rows`, or of all; each computed when it is read."""
        return LazyMapping({name: partial(part, rows) for name, part in zip(self.names, self.of, strict=True)})


def trained_tables(module: nn.Module) -> list[FeatureProjection]:
    """The projections in `module` whose tables are trained."""
    found = [part for part in module.modules() if isinstance(part, FeatureProjection)]
    return [part for part in found if isinstance(part.table, nn.Parameter) and part.table.requires_grad]


def affine(layer: nn.Linear, x: Tensor) -> Tensor:
    """What the layer gives, x Wᵀ + b (n, outputs) for x (n, inputs), through the fast dense product."""
    product = project(x, layer.weight)
    return product if layer.bias is None else product + layer.bias


def linear(
    inputs: int,
    outputs: int,
    rng: torch.Generator,
    init: Init = "uniform",
    *,
    bias: bool = True,
) -> nn.Linear:
    """A linear layer drawn from `rng`: torch's default, uniform within ±1/√inputs, or a weight after Glorot."""
    layer = nn.Linear(inputs, outputs, bias, device="meta").to_empty(device="cpu")  # no draws from the global generator
    bound = inputs**-0.5
    with torch.no_grad():
        if init == "xavier_normal":
            nn.init.xavier_normal_(layer.weight, generator=rng)
        elif init == "xavier_uniform":
            nn.init.xavier_uniform_(layer.weight, generator=rng)
        else:
            layer.weight.uniform_(-bound, bound, generator=rng)
        if bias:
            layer.bias.uniform_(-bound, bound, generator=rng)
    return layer


def modality_shares(weights: Mapping[str, float] | None, modalities: tuple[str, ...]) -> dict[str, float]:
    """`weights` scaled to sum to 1, in the order of `modalities`; None: equal shares.

    Raises:
        SettingsError: the weights do not name exactly the modalities there are, one is negative, or all are 0.
    """
    if weights is None:
        return dict.fromkeys(modalities, 1.0 / len(modalities))
    if set(weights) != set(modalities):
        raise SettingsError(
            f"setting 'model.modality_weights' names {', '.join(weights) or 'nothing'}; "
            f"give one weight for each of the features of this run: {', '.join(modalities)}"
        )
    total = sum(weights.values())
    if min(weights.values()) < 0 or total <= 0:
        raise SettingsError(
            f"setting 'model.modality_weights' cannot be {dict(weights)}; give weights >= 0 that are not all 0"
        )
    return {name: weights[name] / total for name in modalities}
