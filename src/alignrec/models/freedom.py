"""FREEDOM: a frozen item-item graph and a pruned interaction graph (Zhou and Shen, ACM MM 2023).

With E = [E_u; E_i] id embeddings, S_m = the mean over an item's k nearest neighbours by modality m (itself included),
Â the normalised interaction graph and Â' that of the edges kept in this epoch:

    S = Σ_m α_m S_m,  built once from the initial features        h = S^l E_i
    G = (E + Â'E + … + Â'^L E) / (L + 1)                          g_u, g_i
    score(u, i) = g_u · (g_i + h_i)

    L = BPR(g_u, g_i + h_i) + content_weight · Σ_m BPR(g_u, W_m f_i^m + b_m)

At the start of an epoch ⌊E (1 − edge_dropout)⌋ edges are drawn in proportion to 1 / √(d_u d_i); training propagates
over them, evaluation over the whole graph. Features are trained, which only the last term sees.

The authors weigh two modalities, 0.1 image and 0.9 text. Here there may be any number: equal shares unless
`modality_weights` says otherwise. An item of zeros in a modality, as one without a picture, has no neighbours there.
Their count int(E · (1. − p)) loses an edge to rounding now and then; ours does not.
A step multiplies the features of the batch's items alone; drawing the edges costs one pass over them per epoch.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from alignrec.graphs import mean_interactions, mixed_knn_operator, normalized_adjacency, sample_edges
from alignrec.losses import bpr_loss_rows
from alignrec.models.base import Backbone, DistinctRows, check_neighbors, xavier_uniform_table
from alignrec.models.lazy import LazyMapping
from alignrec.models.projection import FeatureProjections, modality_shares
from alignrec.ops import SparseOperator, propagate, propagate_mean, propagate_mean_and_tail, spmm
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, Representations, TrainData

__all__ = ["FREEDOM", "FREEDOMConfig"]


class FREEDOMConfig(Settings):
    """Settings of FREEDOM."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=2, ge=0)
    """Propagation steps L over the interactions."""
    n_content_layers: int = Field(default=1, ge=0)
    """Propagation steps l over the item-item graph."""
    n_neighbors: int = Field(default=10, ge=1)
    """Items kept per item and modality in the item-item graph, the item itself among them."""
    modality_weights: Mapping[str, float] | None = None
    """Weight α_m of each modality in the item-item graph, scaled to sum to 1; by default all weigh the same."""
    edge_dropout: float = Field(default=0.8, ge=0, lt=1)
    """Share of the interactions left out of an epoch's graph; the published runs chose 0.8 or 0.9."""
    content_weight: float = Field(default=1e-3, ge=0)
    """λ: weight of ranking by each modality's projected features; 0 leaves it out."""
    trainable_features: bool = True
    """Whether features are fine-tuned, as in the published numbers; the item-item graph stays as it was built."""


class FREEDOM(Backbone[FREEDOMConfig]):
    """Propagation over a pruned interaction graph and a frozen item-item graph."""

    Config = FREEDOMConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.edge_dropout": (0.8, 0.9),
        "model.content_weight": (0.0, 1e-5, 1e-4, 1e-3),
    }
    needs_features = True

    def __init__(self, config: FREEDOMConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        check_neighbors("n_neighbors", config.n_neighbors, self.n_items, "items")
        size = config.embedding_size
        users = xavier_uniform_table(self.n_users, size, rng)
        items = xavier_uniform_table(self.n_items, size, rng)
        self.embedding = nn.Parameter(torch.cat([users, items]))  # (U + I, d)
        self.projections = FeatureProjections(data.features, size, rng, trainable=config.trainable_features)
        shares = modality_shares(config.modality_weights, self.projections.names)
        self.neighbors = mixed_knn_operator(data.features, shares, config.n_neighbors, "binary")
        self.edges = data.interactions
        self.adjacency = normalized_adjacency(data.interactions)
        self.pruned: SparseOperator | None = None
        self.mean_of_items = mean_interactions(data.interactions)

    def start_epoch(self, rng: torch.Generator) -> None:
        """Draw the edges that training propagates over until the next call."""
        kept = sample_edges(self.edges, self.config.edge_dropout, rng)
        self.pruned = normalized_adjacency(kept).to(self.embedding.device)

    def represent(self) -> Representations:
        """All users and items; in training mode over the pruned graph, once there is one."""
        behaviour = self.split(propagate_mean(self._graph(), self.embedding, self.config.n_layers))
        return self._representations(behaviour, self._related(self.embedding[self.n_users :]))

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's users and items."""
        rows = DistinctRows.of(batch)
        nodes = rows.nodes(self.n_users)
        layers = self.config.n_layers
        mean, every = propagate_mean_and_tail(self._graph(), self.embedding, layers, nodes, self.n_users)
        return self._representations(rows.split(mean), self._related(every, rows.items), rows), rows.batch

    def _graph(self) -> SparseOperator:
        return self.pruned if self.training and self.pruned is not None else self.adjacency

    def _related(self, items: Tensor, rows: Tensor | None = None) -> Tensor:
        """h: what items with ids (I, d) receive from those with similar features, all (I, d) or `rows` (r, d)."""
        return propagate(self.neighbors, items, self.config.n_content_layers, rows)

    def _representations(
        self, behaviour: Embeddings, related: Tensor, rows: DistinctRows | None = None
    ) -> Representations:
        users, items = (None, None) if rows is None else (rows.users, rows.items)

        def content() -> Embeddings:
            every = related if rows is None else self._related(self.embedding[self.n_users :])
            return Embeddings(spmm(self.mean_of_items, every, users), related)

        return Representations(
            Embeddings(behaviour.users, behaviour.items + related),
            self.projections(items),
            LazyMapping({"content": content}, {"behaviour": behaviour}),
            users,
            items,
        )

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr`, and `content` unless its weight is zero."""
        terms = {"bpr": bpr_loss_rows(reps.final, batch)}
        if self.config.content_weight:
            parts = [bpr_loss_rows(Embeddings(reps.final.users, table), batch) for table in reps.content.values()]
            terms["content"] = self.config.content_weight * torch.stack(parts).sum()
        return terms
