"""GRCN: a graph refined by content, which weighs or cuts each edge before ids travel over it (Wei et al., ACM MM 2020).

With f_m = n(φ(W_m F_m + b_m)) items by content of modality m, p_m = n(P_m) users' preferences, n(·) unit rows,
φ leaky ReLU, s_e = p_u · f_i on the edge e of user u and item i, and softmax over the edges that arrive at a node,

    p_m ← n(p_m + Σ_i softmax_u(s)_e f_i)                                  routing, `n_routings` times
    α_e→u = softmax_u(s)_e,  α_e→i = softmax_i(s)_e                        attention, both directions
    c_m,u = p_m,u + Σ_i α_e→u f_i,   c_m,i = f_m,i + Σ_u α_e→i p_m,u       content
    w_e→x = max(0, max_m α_m,e→x · κ_m,y)                                  y the node it comes from, κ learned
    x⁰ = n(E),  xˡ = Σ_y w_e→x y^{l−1}                                     ids over the refined edges
    score(u, i) = h_u · h_i,  h = [x⁰ + x¹ + x² ‖ c_1 ‖ … ‖ c_M]

    L = −mean log σ(s_ui − s_uj) + reg_weight · [ ½ mean(2 e_u² + e_i² + e_j²) + Σ_m mean P_m,u² ]   over the batch

In the code that gave the published numbers the edges of the routing point from users to items: users receive nothing
and the loop changes nothing. It also regularises the first (visual) preferences a second time, over the whole table.
Here routing goes from items to users, as the paper has it; `official` leaves it out and adds the second term. The
code's evaluation reads the output of the last training step; ours is always of the present weights.

There is one number per edge and modality, never a vector: O(E M + (U + I) M d) memory. A step passes over all edges
some 27 times per modality and 12 times for the ids, forward and backward. Scored vectors are M + 1 times
`embedding_size` long, which is why `Representations.content` is empty; the content view is the mean of c_m.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, normalize

from alignrec.losses import bpr_loss
from alignrec.models.base import Backbone, batch_rows, xavier_normal_table
from alignrec.models.projection import FeatureProjections
from alignrec.ops import Edges, edge_dots, edge_softmax, edge_sum
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, Representations, TrainData

__all__ = ["GRCN", "GRCNConfig"]


class GRCNConfig(Settings):
    """Settings of GRCN."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of the id part and of each modality's part of a vector."""
    n_layers: int = Field(default=2, ge=0)
    """Steps of the ids over the refined edges; 2 in the published runs."""
    n_routings: int = Field(default=3, ge=0)
    """Rounds that move users' preferences towards the content of their items; without effect if `official`."""
    reg_weight: float = Field(default=1e-3, ge=0)
    """Weight of the mean squares; the published runs chose among 1e-5 to 0.1."""
    official: bool = False
    """Do as the code behind the published numbers: no routing, and the first modality's preferences regularised
    once more over the whole table."""


class GRCN(Backbone[GRCNConfig]):
    """Content attention per modality, whose edge weights also carry the ids."""

    Config = GRCNConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.reg_weight": (0.1, 1e-2, 1e-3, 1e-4, 1e-5),
        "training.lr": (1.0, 0.1, 1e-2, 1e-3, 1e-4),
    }
    needs_features = True

    def __init__(self, config: GRCNConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        n_nodes, size = self.n_users + self.n_items, config.embedding_size
        self.embedding = nn.Parameter(xavier_normal_table(n_nodes, size, rng))  # (U + I, d)
        self.preferences = nn.ParameterList(xavier_normal_table(self.n_users, size, rng) for _ in data.features)
        self.projections = FeatureProjections(data.features, size, rng, trainable=False, init="xavier_normal")
        self.confidence = nn.Parameter(xavier_normal_table(n_nodes, len(data.features), rng))  # (U + I, M)
        self.edges = Edges(data.interactions)

    def represent(self) -> Representations:
        """All users and items; the edge weights need them all."""
        tables = zip(self.preferences, self.projections().values(), strict=True)
        parts, shares = zip(*(self._content(preference, items) for preference, items in tables), strict=True)
        ids = self._ids(*self._weights([pair[0] for pair in shares], [pair[1] for pair in shares]))
        users, items = [part.users for part in parts], [part.items for part in parts]
        content = Embeddings(torch.stack(users).mean(0), torch.stack(items).mean(0))
        final = Embeddings(torch.cat([ids.users, *users], dim=1), torch.cat([ids.items, *items], dim=1))
        return Representations(final, views={"behaviour": ids, "content": content})

    def _content(self, preference: Tensor, projected: Tensor) -> tuple[Embeddings, tuple[Tensor, Tensor]]:
        """c_m, and the attention of the edges (E,) on their way to users and to items."""
        users, items = normalize(preference), normalize(leaky_relu(projected))
        for _ in range(0 if self.config.official else self.config.n_routings):
            shares = edge_softmax(self.edges, edge_dots(self.edges, users, items))
            users = normalize(users + edge_sum(self.edges, shares, items))
        scores = edge_dots(self.edges, users, items)
        to_users, to_items = edge_softmax(self.edges, scores), edge_softmax(self.edges, scores, transposed=True)
        received = Embeddings(
            users + edge_sum(self.edges, to_users, items),
            items + edge_sum(self.edges, to_items, users, transposed=True),
        )
        return received, (to_users, to_items)

    def _weights(self, to_users: list[Tensor], to_items: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Of the edges on their way to users and to items, w (E,): the surest modality, nothing below zero."""
        confidence = self.split(self.confidence)
        of_items = confidence.items.index_select(0, self.edges.columns)  # (E, M)
        of_users = confidence.users.index_select(0, self.edges.rows)
        sure_to_users = (torch.stack(to_users, dim=1) * of_items).amax(dim=1)
        sure_to_items = (torch.stack(to_items, dim=1) * of_users).amax(dim=1)
        return torch.relu(sure_to_users), torch.relu(sure_to_items)

    def _ids(self, to_users: Tensor, to_items: Tensor) -> Embeddings:
        """x⁰ + x¹ + … of all nodes."""
        layer = self.split(normalize(self.embedding))
        total = layer
        for _ in range(self.config.n_layers):
            layer = Embeddings(
                edge_sum(self.edges, to_users, layer.items),
                edge_sum(self.edges, to_items, layer.users, transposed=True),
            )
            total = Embeddings(total.users + layer.users, total.items + layer.items)
        return total

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr`, and `mean_square` of ids and preferences as they are before they are scaled."""
        users, positives, negatives = batch_rows(reps.final, batch)  # (B, (M + 1) d) each
        own, taken, other = (rows.square().mean() for rows in batch_rows(self.split(self.embedding), batch))
        squares = [table.index_select(0, batch.users).square().mean() for table in self.preferences]
        if self.config.official:
            squares.append(self.preferences[0].square().mean())
        return {
            "bpr": bpr_loss((users * positives).sum(1), (users * negatives).sum(1)),
            "mean_square": self.config.reg_weight * torch.stack([own, taken / 2, other / 2, *squares]).sum(),
        }
