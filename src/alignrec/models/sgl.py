"""SGL: LightGCN whose nodes recognise themselves in two thinned graphs (Wu et al., SIGIR 2021), with edge dropout.

With E = [E_u; E_i] id embeddings, Â the normalised interaction graph, Â₁ and Â₂ those of two random parts of the
edges, each normalised by its own degrees, and G(A) = (E + AE + … + A^L E) / (L + 1):

    score(u, i) = g_u · g_i   of G(Â)
    L = BPR + l2_weight · ½ (‖e_u‖² + ‖e_i‖² + ‖e_j‖²)                       on unpropagated rows e
      + contrastive_weight · [ NCE(u) + NCE(i) ],
    NCE(b) = −log softmax over all rows n of cos(G(Â₁)_b, G(Â₂)_n) / temperature   at n = b

for the batch's users and positives b, against all users and all items. At the start of an epoch ⌊E (1 −
edge_dropout)⌋ edges are drawn twice, uniformly; evaluation propagates over the whole graph.

All terms are means over the batch. The authors' code sums them, which multiplies the loss by B and keeps the ratios;
Adam hardly notices (`sum_over_batch` brings it back). A step costs three propagations and the products of the batch's
rows with all nodes, in tiles.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from alignrec.graphs import normalized_adjacency, sample_edges
from alignrec.losses import bpr_loss_rows, info_nce_against, squared_norm
from alignrec.models.base import Backbone, DistinctRows, batch_rows, numbered_among_all, xavier_uniform_table
from alignrec.ops import SparseOperator, propagate_mean, propagate_mean_rows
from alignrec.settings import Settings
from alignrec.types import Batch, Representations, TrainData

__all__ = ["SGL", "SGLConfig"]


class SGLConfig(Settings):
    """Settings of SGL."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=3, ge=0)
    """Propagation steps L."""
    edge_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the interactions left out of each of an epoch's two graphs."""
    contrastive_weight: float = Field(default=0.1, ge=0)
    """Weight of the contrast between the two graphs; 0 leaves it out."""
    temperature: float = Field(default=0.2, gt=0)
    """τ of that contrast."""
    l2_weight: float = Field(default=1e-4, ge=0)
    """Weight of half the squared norms of the batch's unpropagated rows."""
    sum_over_batch: bool = False
    """Whether all terms are sums over the batch (authors' code) instead of means."""


class SGL(Backbone[SGLConfig]):
    """Self-supervised propagation; knows ids only."""

    Config = SGLConfig
    # around the published values; the paper's own lists are not at hand
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.contrastive_weight": (0.005, 0.01, 0.05, 0.1, 0.5, 1.0),
        "model.temperature": (0.1, 0.2, 0.5, 1.0),
        "model.edge_dropout": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    }

    def __init__(self, config: SGLConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        users = xavier_uniform_table(self.n_users, config.embedding_size, rng)
        items = xavier_uniform_table(self.n_items, config.embedding_size, rng)
        self.embedding = nn.Parameter(torch.cat([users, items]))  # (U + I, d)
        self.edges = data.interactions
        self.adjacency = normalized_adjacency(data.interactions)
        self.first: SparseOperator | None = None  # this epoch's graphs, once it has begun
        self.second: SparseOperator | None = None

    def start_epoch(self, rng: torch.Generator) -> None:
        """Draw the edges of both graphs."""
        self.first, self.second = self._thinned(rng), self._thinned(rng)

    def _thinned(self, rng: torch.Generator) -> SparseOperator:
        kept = sample_edges(self.edges, self.config.edge_dropout, rng, by="uniform")
        return normalized_adjacency(kept).to(self.embedding.device)

    def represent(self) -> Representations:
        """One propagation over the whole graph; `ego` is the table before it."""
        final = self.split(propagate_mean(self.adjacency, self.embedding, self.config.n_layers))
        return Representations(final, views={"behaviour": final, "ego": self.split(self.embedding)})

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's nodes."""
        rows = DistinctRows.of(batch)
        ego, mean = propagate_mean_rows(self.adjacency, self.embedding, self.config.n_layers, rows.nodes(self.n_users))
        final = rows.split(mean)
        views = {"behaviour": final, "ego": rows.split(ego)}
        return Representations(final, views=views, user_ids=rows.users, item_ids=rows.items), rows.batch

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr` on propagated rows, `l2` of unpropagated ones, and `contrastive` unless its weight is zero."""
        config, factor = self.config, float(len(batch)) if self.config.sum_over_batch else 1.0
        ego = batch_rows(reps.views["ego"], batch)
        terms = {
            "bpr": factor * bpr_loss_rows(reps.final, batch),
            "l2": factor * config.l2_weight * squared_norm(*ego, batch_size=len(batch)),
        }
        if config.contrastive_weight:
            terms["contrastive"] = factor * config.contrastive_weight * self._contrast(numbered_among_all(reps, batch))
        return terms

    def _contrast(self, batch: Batch) -> Tensor:
        """Means over the batch's users and positives, added; before the first epoch both graphs are the whole one."""
        users, user_rows = torch.unique(batch.users, return_inverse=True)
        items, item_rows = torch.unique(batch.positives, return_inverse=True)
        layers, nodes = self.config.n_layers, torch.cat([users, items + self.n_users])
        _, anchors = propagate_mean_rows(self.first or self.adjacency, self.embedding, layers, nodes)
        every = self.split(propagate_mean(self.second or self.adjacency, self.embedding, layers))
        user_anchors, item_anchors = torch.split(anchors, [len(users), len(items)])
        temperature = self.config.temperature
        by_user = info_nce_against(user_anchors, user_rows, every.users, batch.users, temperature)
        by_item = info_nce_against(item_anchors, item_rows, every.items, batch.positives, temperature)
        return by_user + by_item
