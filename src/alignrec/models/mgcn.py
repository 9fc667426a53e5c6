"""MGCN: features purified by behaviour and fused by preference (Yu et al., ACM MM 2023).

With F_m the features of modality m, E = [E_u; E_i] id embeddings, S_m the cosine-weighted graph of the k items most
similar by the initial F_m, Â and R̂ the normalised interaction graph and its user-item block:

    m^i = S_m^l (E_i ⊙ σ(gate_m(W_m F_m + b_m))),  m^u = R̂ m^i          purified content, per modality
    H   = (E + ÂE + … + Â^L E) / (L + 1)                                 behaviour
    a   = softmax over modalities of q · tanh(Q m + b),  common = Σ_m a_m m
    side = [ Σ_m σ(prefer_m(H)) ⊙ (m − common) + common ] / (M + 1)
    score(u, i) = (H + side)_u · (H + side)_i

    L = BPR + l2_weight · ½ Σ‖h‖² / B + contrastive_weight · [NCE(side_i, H_i) + NCE(side_u, H_u)]

The authors' divisor is the constant 3, which is M + 1 for their two modalities. With a single table nothing is left
to weigh (a = 1, m − common = 0): side = m / 2, without the attention's and the preferences' parameters. As in their
code, features are trained while S_m stays, and the contrastive temperature is 0.2.

A step projects the features of all items, since S_m and R̂ mix them; everything after that is for the batch's nodes.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from alignrec.graphs import knn_operator, normalized_adjacency, normalized_interactions
from alignrec.losses import bpr_loss_rows, info_nce_rows, squared_norm_rows
from alignrec.models.base import Backbone, DistinctRows, check_neighbors, xavier_uniform_table
from alignrec.models.lazy import LazyMapping
from alignrec.models.projection import FeatureProjections, linear
from alignrec.ops import SparseOperator, propagate, propagate_mean, propagate_mean_and_tail, spmm
from alignrec.settings import Settings
from alignrec.types import Batch, Representations, TrainData

__all__ = ["MGCN", "MGCNConfig"]


class MGCNConfig(Settings):
    """Settings of MGCN."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=2, ge=0)
    """Propagation steps L over the interactions."""
    n_content_layers: int = Field(default=1, ge=0)
    """Propagation steps l over the item-item graphs."""
    n_neighbors: int = Field(default=10, ge=1)
    """Items kept per item in an item-item graph, the item itself among them."""
    contrastive_weight: float = Field(default=0.01, ge=0)
    """Weight of the contrast of content with behaviour; 0 leaves it out."""
    temperature: float = Field(default=0.2, gt=0)
    """τ of that contrast."""
    l2_weight: float = Field(default=1e-4, ge=0)
    """Weight of ½ Σ‖h‖² / B over the batch's scored rows."""
    l2_batch_size: int | None = Field(default=None, ge=1)
    """B of that term; by default the rows in the batch, the authors' code takes the configured batch size."""
    trainable_features: bool = True
    """Whether features are fine-tuned, as in the published numbers; the item-item graphs stay as they were built."""


class MGCN(Backbone[MGCNConfig]):
    """Behaviour-guided purifier, item-item graphs, behaviour-aware fuser."""

    Config = MGCNConfig
    training_defaults: ClassVar[Mapping[str, Any]] = {"lr_decay": 0.96}
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"model.contrastive_weight": (1e-3, 1e-2, 0.1)}
    needs_features = True

    def __init__(self, config: MGCNConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        check_neighbors("n_neighbors", config.n_neighbors, self.n_items, "items")
        size = config.embedding_size
        users = xavier_uniform_table(self.n_users, size, rng)
        items = xavier_uniform_table(self.n_items, size, rng)
        self.embedding = nn.Parameter(torch.cat([users, items]))  # (U + I, d)
        self.projections = FeatureProjections(data.features, size, rng, trainable=config.trainable_features)
        self.gates = nn.ModuleList(linear(size, size, rng) for _ in data.features)
        if len(data.features) > 1:
            self.attention, self.query = linear(size, size, rng), linear(size, 1, rng, bias=False)
            self.preferences = nn.ModuleList(linear(size, size, rng) for _ in data.features)
        self.adjacency = normalized_adjacency(data.interactions)
        self.interactions = normalized_interactions(data.interactions)
        self.neighbors = nn.ModuleList(knn_operator(table, config.n_neighbors) for table in data.features.values())

    def represent(self) -> Representations:
        """Both views over all nodes, and their sum."""
        behaviour = propagate_mean(self.adjacency, self.embedding, self.config.n_layers)
        projected, purified = self._purified(self.embedding[self.n_users :])
        users = spmm(self.interactions, torch.cat(purified, dim=1)).chunk(len(purified), dim=1)
        side = self._side(behaviour, [torch.cat(pair) for pair in zip(users, purified, strict=True)])
        views = {"behaviour": self.split(behaviour), "content": self.split(side)}
        return Representations(self.split(behaviour + side), projected, views)

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's users and items; only the purified content of items is computed for all."""
        rows = DistinctRows.of(batch)
        nodes = rows.nodes(self.n_users)
        layers = self.config.n_layers
        behaviour, every = propagate_mean_and_tail(self.adjacency, self.embedding, layers, nodes, self.n_users)
        projected, purified = self._purified(every)
        users = spmm(self.interactions, torch.cat(purified, dim=1), rows.users).chunk(len(purified), dim=1)
        items = [table.index_select(0, rows.items) for table in purified]
        side = self._side(behaviour, [torch.cat(pair) for pair in zip(users, items, strict=True)])
        content = LazyMapping({name: partial(table.index_select, 0, rows.items) for name, table in projected.items()})
        views = {"behaviour": rows.split(behaviour), "content": rows.split(side)}
        return Representations(rows.split(behaviour + side), content, views, rows.users, rows.items), rows.batch

    def _purified(self, items: Tensor) -> tuple[Mapping[str, Tensor], list[Tensor]]:
        """Projected features, and gated id embeddings `items` after the item-item graph, (I, d) of each modality."""
        projected = self.projections()
        gated = [items * torch.sigmoid(gate(x)) for gate, x in zip(self.gates, projected.values(), strict=True)]
        graphs, layers = cast(Iterable[SparseOperator], self.neighbors), self.config.n_content_layers
        return projected, [propagate(graph, x, layers) for graph, x in zip(graphs, gated, strict=True)]

    def _side(self, behaviour: Tensor, content: list[Tensor]) -> Tensor:
        """The fused content (n, d) of nodes from their behaviour (n, d) and purified content (n, d)."""
        if len(content) == 1:
            return content[0] / 2
        logits = torch.cat([self.query(torch.tanh(self.attention(x))) for x in content], dim=1)  # (n, M)
        shares = torch.softmax(logits, dim=1)
        common = torch.stack([x * share[:, None] for x, share in zip(content, shares.unbind(1), strict=True)]).sum(0)
        total = common
        for prefer, x in zip(self.preferences, content, strict=True):
            total = total + torch.sigmoid(prefer(behaviour)) * (x - common)
        return total / (len(content) + 1)

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr`, `l2`, and `contrastive` unless its weight is zero."""
        config, side, behaviour = self.config, reps.views["content"], reps.views["behaviour"]
        rows = config.l2_batch_size or len(batch)
        terms = {
            "bpr": bpr_loss_rows(reps.final, batch),
            "l2": config.l2_weight * squared_norm_rows(reps.final, batch, batch_size=rows),
        }
        if config.contrastive_weight:
            by_item = info_nce_rows(side.items, behaviour.items, batch.positives, config.temperature)
            by_user = info_nce_rows(side.users, behaviour.users, batch.users, config.temperature)
            terms["contrastive"] = config.contrastive_weight * (by_item + by_user)
        return terms
