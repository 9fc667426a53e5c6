"""FETTLE: feedback-oriented multi-modal alignment (Li et al., SIGIR 2024), stacked on what a host scores with.

With u and i^ID the host's scored users and items and one projected vector per further modality of an item:

    L = cluster_weight · (L_UI + L_ITV) + item_weight · (ILA + DT)          (eq. 11)

ILA and DT: `item_alignment`. L_UI lets users and items they took predict each other's clusters, L_ITV the modalities
of an item: `cluster_alignment`. All vectors are scaled to unit length, as in the authors' code; the paper estimates
feedback by plain dot products, which `feedback=dot` brings back. Temperatures are learned and kept within bounds, and
the codebooks' rows are brought back to unit length at every step, both as in that code. No gradient of ILA or DT
reaches a user.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from alignrec.losses.cluster_alignment import Sinkhorn, swapped_prediction
from alignrec.losses.item_alignment import (
    Directions,
    alignment_directions,
    direction_tuning,
    item_alignment,
    map_items,
)
from alignrec.losses.plugin import Needs, Plugin, PluginInputs
from alignrec.ops import SMALLEST_NORM, unit_rows
from alignrec.settings import Settings
from alignrec.types import Batch, Representations

__all__ = ["Fettle", "FettleConfig"]

_ITEM_BOUNDS, _CLUSTER_BOUNDS = (0.001, 0.5), (0.01, 0.99)  # of the learned temperatures


class FettleConfig(Settings):
    """Settings of FETTLE; α, β, λ_f, λ_c of the paper: cluster_weight, item_weight, item_ and cluster_temperature."""

    item_alignment: bool = True
    """Whether modalities of an item are aligned, lower feedback toward higher (ILA)."""
    direction_tuning: bool = True
    """Whether mapped vectors are tuned to please the users of their item (DT)."""
    cluster_alignment: bool = True
    """Whether users with items, and an item's modalities, are aligned by their clusters (CLA)."""
    item_weight: float = Field(default=1e-3, gt=0)
    """β: weight of ILA and DT."""
    cluster_weight: float = Field(default=1e-3, gt=0)
    """α: weight of CLA."""
    item_temperature: float = Field(default=0.1, ge=_ITEM_BOUNDS[0], le=_ITEM_BOUNDS[1])
    """λ_f: first value of ILA's temperature."""
    cluster_temperature: float = Field(default=0.3, ge=_CLUSTER_BOUNDS[0], le=_CLUSTER_BOUNDS[1])
    """λ_c: first value of CLA's temperature; 0.3 for hosts that know ids only, 0.05 to 0.1 for FREEDOM."""
    learn_temperatures: bool = True
    """Whether the temperatures are trained (authors' code) or constants (paper)."""
    direction: Directions = "directed"
    """`directed`: lower feedback toward higher, for each pair of modalities. `topmost`: all toward the highest alone.
    `bidirectional`: both ways for items whose lower feedback is above `threshold`, else directed."""
    threshold: float | None = None
    """Feedback (a cosine, unless `feedback` is dot) above which `bidirectional` goes both ways; null: always."""
    feedback: Literal["cosine", "dot"] = "cosine"
    """How users' feedback on a modality is estimated: by cosines (authors' code) or dot products (paper)."""
    user_item_prototypes: int = Field(default=10240, ge=2)
    """P of the codebook of users and items."""
    content_prototypes: int = Field(default=10240, ge=2)
    """P of the codebook of an item's modalities."""
    sinkhorn_temperature: float = Field(default=0.05, ge=0.025)
    """Divides the cosines that codes are made from."""
    sinkhorn_iterations: int = Field(default=3, ge=1)
    """N: rounds that make the codes even over prototypes."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if not (self.item_alignment or self.direction_tuning or self.cluster_alignment):
            raise ValueError("item_alignment, direction_tuning and cluster_alignment are all off; switch one on")
        if self.threshold is not None and self.direction != "bidirectional":
            raise ValueError(
                f"threshold needs direction=bidirectional, not {self.direction}; leave it out or change that"
            )
        return self


class Fettle(Plugin[FettleConfig]):
    """Directed item-level alignment, direction tuning and cluster-level alignment of any number of modalities."""

    Config = FettleConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "item_weight": (1e-4, 1e-3, 1e-2),
        "cluster_weight": (1e-4, 1e-3, 1e-2),
        "item_temperature": (0.05, 0.1, 0.15),
        "cluster_temperature": (0.05, 0.1, 0.2, 0.3),
    }
    search_space_of_ids: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "item_weight": (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0),
        "cluster_weight": (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0),
    }

    def __init__(self, config: FettleConfig, inputs: PluginInputs, rng: torch.Generator) -> None:
        super().__init__(config, inputs, rng)
        self.modalities, size, n_tables = inputs.modalities, inputs.size, len(inputs.modalities) + 1
        if config.item_alignment or config.direction_tuning:
            n_maps = n_tables * (n_tables - 1)
            self.maps = nn.Parameter(torch.stack([_xavier(size, size, rng) for _ in range(n_maps)]))  # (M(M−1), d, d)
        if config.item_alignment:
            self.item_temperature = self._temperature(config.item_temperature)
        if config.cluster_alignment:
            self.user_item_codebook = nn.Parameter(_xavier(config.user_item_prototypes, size, rng))  # (P, d)
            self.content_codebook = nn.Parameter(_xavier(config.content_prototypes, size, rng))  # (P, d)
            self.cluster_temperature = self._temperature(config.cluster_temperature)

    @classmethod
    def needs(cls, config: FettleConfig) -> Needs:  # noqa: ARG003
        """Content vectors."""
        return Needs(content=True)

    def forward(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """Those of `ila`, `dt`, `ui` and `itv` that are switched on."""
        items, item_rows = torch.unique(batch.positives, return_inverse=True)
        users, user_rows = torch.unique(batch.users, return_inverse=True)
        of_all = [reps.final.items, *(reps.content[name] for name in self.modalities)]
        tables = [table.index_select(0, items) for table in of_all]
        user_table = reps.final.users.index_select(0, users)
        unit_tables = [unit_rows(table) for table in tables]  # M times (Q, d), ids first
        unit_users = unit_rows(user_table)
        terms: dict[str, Tensor] = {}
        if self.config.item_alignment or self.config.direction_tuning:
            raw = self.config.feedback == "dot"
            judges = (user_table if raw else unit_users).detach()
            mean_users = _mean_users(judges, user_rows, item_rows, len(items))
            terms |= self._by_item(tables if raw else unit_tables, mean_users)
        if self.config.cluster_alignment:
            terms |= self._by_cluster(unit_tables, unit_users, item_rows, user_rows)
        return terms

    def _by_item(self, tables: list[Tensor], mean_users: Tensor) -> dict[str, Tensor]:
        config = self.config
        with torch.no_grad():
            scores = torch.stack([(mean_users * table).sum(dim=1) for table in tables])  # (M, Q)
            directions = alignment_directions(scores, config.direction, config.threshold)
        mapped = map_items(tables, directions, self.maps, unit=config.feedback == "cosine")
        terms = {}
        if config.item_alignment:
            _clamp(self.item_temperature, _ITEM_BOUNDS)
            terms["ila"] = config.item_weight * item_alignment(mapped, tables, self.item_temperature)
        if config.direction_tuning:
            terms["dt"] = config.item_weight * direction_tuning(mapped, mean_users, scores)
        return terms

    def _by_cluster(
        self, tables: list[Tensor], users: Tensor, item_rows: Tensor, user_rows: Tensor
    ) -> dict[str, Tensor]:
        config = self.config
        _clamp(self.cluster_temperature, _CLUSTER_BOUNDS)
        for codebook in (self.user_item_codebook, self.content_codebook):
            _to_unit_rows(codebook)
        sinkhorn = Sinkhorn(config.sinkhorn_temperature, config.sinkhorn_iterations)
        temperature, rows = self.cluster_temperature, [item_rows] * len(tables)
        pairs = ([users, tables[0]], [user_rows, item_rows])
        ui = swapped_prediction(self.user_item_codebook, temperature, *pairs, sinkhorn)
        itv = swapped_prediction(self.content_codebook, temperature, tables, rows, sinkhorn)
        return {"ui": config.cluster_weight * ui, "itv": config.cluster_weight * itv}

    def _temperature(self, value: float) -> nn.Parameter:
        return nn.Parameter(torch.tensor(value), requires_grad=self.config.learn_temperatures)


def _mean_users(users: Tensor, user_rows: Tensor, item_rows: Tensor, n_items: int) -> Tensor:
    """Mean of the rows `users[user_rows]` over the pairs of each item, (Q, d)."""
    sums = users.new_zeros(n_items, users.shape[1]).index_add_(0, item_rows, users.index_select(0, user_rows))
    return sums / torch.bincount(item_rows, minlength=n_items)[:, None]


def _xavier(rows: int, size: int, rng: torch.Generator) -> Tensor:
    return nn.init.xavier_uniform_(torch.empty(rows, size), generator=rng)


@torch.no_grad()
def _clamp(temperature: Tensor, bounds: tuple[float, float]) -> None:
    temperature.clamp_(*bounds)


@torch.no_grad()
def _to_unit_rows(codebook: Tensor) -> None:
    codebook.div_(torch.linalg.vector_norm(codebook, dim=1, keepdim=True).clamp_min_(SMALLEST_NORM))
