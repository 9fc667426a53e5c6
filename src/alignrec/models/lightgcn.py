"""LightGCN: the mean of id embeddings propagated over the interaction graph (He et al., SIGIR 2020).

H = (E + ÂE + … + Â^L E) / (L + 1),  Â = D^{-1/2} A D^{-1/2} ;  score(u, i) = h_u · h_i
L = −mean log(1e-10 + σ(s_ui − s_uj)) + reg_weight · (‖e_u‖ + ‖e_i‖ + ‖e_j‖) / B  on the unpropagated rows e.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from alignrec.graphs import normalized_adjacency
from alignrec.losses import bpr_loss_rows, embedding_norm_rows
from alignrec.models.base import Backbone, DistinctRows, xavier_uniform_table
from alignrec.ops import propagate_mean, propagate_mean_rows
from alignrec.settings import Settings
from alignrec.types import Batch, Representations, TrainData

__all__ = ["LightGCN", "LightGCNConfig"]


class LightGCNConfig(Settings):
    """Settings of LightGCN."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=2, ge=0)
    """Number L of propagation steps."""
    reg_weight: float = Field(default=1e-3, ge=0)
    """Weight of the norm (not squared) of the batch's unpropagated embeddings."""


class LightGCN(Backbone[LightGCNConfig]):
    """Linear propagation over the user-item graph; knows ids only."""

    Config = LightGCNConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.n_layers": (1, 2, 3, 4),
        "model.reg_weight": (1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
    }

    def __init__(self, config: LightGCNConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        users = xavier_uniform_table(self.n_users, config.embedding_size, rng)
        items = xavier_uniform_table(self.n_items, config.embedding_size, rng)
        self.embedding = nn.Parameter(torch.cat([users, items]))  # (U + I, d), one table: propagating copies nothing
        self.adjacency = normalized_adjacency(data.interactions)

    def represent(self) -> Representations:
        """One propagation over all nodes; `ego` is the table before it."""
        final = self.split(propagate_mean(self.adjacency, self.embedding, self.config.n_layers))
        return Representations(final, views={"behaviour": final, "ego": self.split(self.embedding)})

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's nodes: the last layer, and its gradient, are computed for them alone."""
        rows = DistinctRows.of(batch)
        ego, mean = propagate_mean_rows(self.adjacency, self.embedding, self.config.n_layers, rows.nodes(self.n_users))
        final = rows.split(mean)
        views = {"behaviour": final, "ego": rows.split(ego)}
        return Representations(final, views=views, user_ids=rows.users, item_ids=rows.items), rows.batch

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr` on propagated rows and `norm` of unpropagated ones."""
        return {
            "bpr": bpr_loss_rows(reps.final, batch, epsilon=1e-10),
            "norm": self.config.reg_weight * embedding_norm_rows(reps.views["ego"], batch),
        }
