"""DirectAU: users near the items they took, everything else spread evenly (Wang et al., KDD 2022).

With x_u, x_i the vectors that are scored, scaled to length 1, over the batch's users and positives:

    L = mean ‖x_u − x_i‖²                                                            align
      + uniformity_weight · ½ [ U(x_u) + U(x_i) ],   U = log mean_{j<k} exp(−2 ‖x_j − x_k‖²)    uniform
    score(u, i) = h_u · h_i   of the vectors as they are, not scaled

The vectors are plain tables (the authors' default), or with `n_layers` LightGCN's mean of propagated ones, as in their
code with either encoder. Sampled negatives are not read; a user or item that occurs twice in a batch is a pair at
distance 0, as there. The authors search Adam's weight decay (`training.weight_decay`) among 0, 1e-8, 1e-6 and 1e-4.

A step costs the products of the batch's distinct users with each other, and of its items.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from alignrec.graphs import normalized_adjacency
from alignrec.losses import cosine_alignment, uniformity
from alignrec.models.base import Backbone, DistinctRows, xavier_normal_table
from alignrec.ops import propagate_mean, propagate_mean_rows
from alignrec.settings import Settings
from alignrec.types import Batch, Representations, TrainData

__all__ = ["DirectAU", "DirectAUConfig"]


class DirectAUConfig(Settings):
    """Settings of DirectAU."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=0, ge=0)
    """Propagation steps of LightGCN over the interactions; 0 is matrix factorisation."""
    uniformity_weight: float = Field(default=0.5, ge=0)
    """γ: weight of the spread against the alignment, searched between 0.01 and 10: the most influential setting. 0
    leaves it out."""


class DirectAU(Backbone[DirectAUConfig]):
    """Alignment and uniformity of plain or propagated embeddings; knows ids only."""

    Config = DirectAUConfig
    # γ within the published range
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.uniformity_weight": (0.01, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
        "training.weight_decay": (0.0, 1e-8, 1e-6, 1e-4),
    }

    def __init__(self, config: DirectAUConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        users = xavier_normal_table(self.n_users, config.embedding_size, rng)
        items = xavier_normal_table(self.n_items, config.embedding_size, rng)
        self.embedding = nn.Parameter(torch.cat([users, items]))  # (U + I, d)
        self.adjacency = normalized_adjacency(data.interactions)

    def represent(self) -> Representations:
        """The tables, propagated if there are layers."""
        final = self.split(propagate_mean(self.adjacency, self.embedding, self.config.n_layers))
        return Representations(final, views={"behaviour": final})

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's users and items."""
        rows = DistinctRows.of(batch)
        nodes = rows.nodes(self.n_users)
        _, mean = propagate_mean_rows(self.adjacency, self.embedding, self.config.n_layers, nodes)
        final = rows.split(mean)
        return Representations(final, views={"behaviour": final}, user_ids=rows.users, item_ids=rows.items), rows.batch

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`align`, and `uniform` unless its weight is zero."""
        users = reps.final.users.index_select(0, batch.users)  # (B, d)
        positives = reps.final.items.index_select(0, batch.positives)
        terms = {"align": 2.0 * cosine_alignment(users, positives)}  # ‖x − y‖² = 2 − 2 cos
        if self.config.uniformity_weight:
            spread = uniformity(reps.final.users, batch.users) + uniformity(reps.final.items, batch.positives)
            terms["uniform"] = 0.5 * self.config.uniformity_weight * spread
        return terms
