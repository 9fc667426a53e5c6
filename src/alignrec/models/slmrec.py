"""SLMRec: contrastive learning among the modalities of an item, fine and coarse (Tao et al., TMM 2022).

With x_m = W_m n(F_m) + b_m projected features, n(·) unit rows, P(y) = (y + Ây + … + Â^L y) / (L + 1) LightGCN's mean,

    z_0 = P([E_u; E_i]),   z_m = P([E_u; x_m])                     the same E_u in each
    h_u = W_u [z_0 ‖ … ‖ z_M]_u + b_u,  h_i = W_i [z_0 ‖ … ‖ z_M]_i + b_i ;   score(u, i) = h_u · h_i

    L = NCE(cos(h_u, h_i) / temperature) + ssl_weight · Σ_m NCE(a_m · b_m / ssl_temperature)
    a_1 = A_1 z_0,  a_m = A_m a_{m−1},   b_m = B_m z_m             of the batch's positive items

where an NCE lets the positives of a batch compete, with duplicates. Sampled negatives are not read. The chain a_m meets
one modality after another in the order of the data ("fine", then "coarse"), and the last of several at half the width;
features are not trained. This is the task FAC of the field's toolbox, which gave the published numbers. There, the
acoustic stage between image and text has lost its loss but not its linear map: with two modalities A_2 is two maps here
as well. The constant that its B_m add cancels in the softmax; it is left out.

The toolbox scores with σ(h_u · h_i), which orders items alike, and evaluates with the vectors of the last training
step; ours are always of the present weights.

A step propagates all z_m side by side, (M + 1) d wide, the last layer for the batch's nodes, and adds M + 1 products of
the batch's distinct positives with each other.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from alignrec.graphs import normalized_adjacency
from alignrec.losses import info_nce
from alignrec.models.base import Backbone, DistinctRows, xavier_uniform_table
from alignrec.models.lazy import LazyMapping
from alignrec.models.projection import FeatureProjections, affine, linear
from alignrec.ops import matmul, propagate_mean, propagate_mean_rows
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, FloatMatrix, Representations, TrainData

__all__ = ["SLMRec", "SLMRecConfig"]


class SLMRecConfig(Settings):
    """Settings of SLMRec."""

    embedding_size: int = Field(default=64, ge=2)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=3, ge=0)
    """Propagation steps L over the interactions."""
    temperature: float = Field(default=0.2, gt=0)
    """Divides the cosines of users and items."""
    ssl_weight: float = Field(default=0.1, ge=0)
    """Weight of the contrast among modalities, 0 leaves it out; the published runs chose among 0.01 to 1."""
    ssl_temperature: float = Field(default=0.2, gt=0)
    """Divides the dot products of that contrast; the published runs chose among 0.1, 0.2, 0.5 and 1."""


class SLMRec(Backbone[SLMRecConfig]):
    """LightGCN once per modality, fused by a linear map, with contrasts between them."""

    Config = SLMRecConfig
    training_defaults: ClassVar[Mapping[str, Any]] = {"weight_decay": 1e-4}
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.ssl_weight": (0.01, 0.05, 0.1, 0.5, 1.0),
        "model.ssl_temperature": (0.1, 0.2, 0.5, 1.0),
        "training.lr": (1e-4, 1e-3, 1e-2, 0.1),
    }
    needs_features = True

    def __init__(self, config: SLMRecConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        size, n_modalities = config.embedding_size, len(data.features)
        self.user_embedding = nn.Parameter(xavier_uniform_table(self.n_users, size, rng))
        self.item_embedding = nn.Parameter(xavier_uniform_table(self.n_items, size, rng))
        features = {name: _unit_rows(table) for name, table in data.features.items()}
        self.projections = FeatureProjections(features, size, rng, trainable=False, init="xavier_uniform")
        self.fuse_users = linear(size * (n_modalities + 1), size, rng, "xavier_uniform")
        self.fuse_items = linear(size * (n_modalities + 1), size, rng, "xavier_uniform")
        widths = [size] * n_modalities
        if n_modalities > 1:
            widths[-1] = size // 2
        self.anchors, self.targets = nn.ModuleList(), nn.ModuleList()  # A_m, B_m
        for stage, width in enumerate(widths):
            between = [linear(size, size, rng, "xavier_uniform")] if n_modalities == 2 and stage == 1 else []
            self.anchors.append(nn.Sequential(*between, linear(size, width, rng, "xavier_uniform")))
            self.targets.append(linear(size, width, rng, "xavier_uniform", bias=False))
        self.adjacency = normalized_adjacency(data.interactions)

    def represent(self) -> Representations:
        """All users and items; `joined` holds z_0 … z_M side by side."""
        projected = self.projections()
        nodes = propagate_mean(self.adjacency, self._inputs(projected), self.config.n_layers)
        return self._representations(self.split(nodes), projected, None)

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's users and items."""
        rows = DistinctRows.of(batch)
        projected, nodes = self.projections(), rows.nodes(self.n_users)
        _, mean = propagate_mean_rows(self.adjacency, self._inputs(projected), self.config.n_layers, nodes)
        content = LazyMapping({name: partial(table.index_select, 0, rows.items) for name, table in projected.items()})
        return self._representations(rows.split(mean), content, rows), rows.batch

    def _inputs(self, projected: Mapping[str, Tensor]) -> Tensor:
        """[E_u; E_i], [E_u; x_1], … side by side, (U + I, (M + 1) d)."""
        items = torch.cat([self.item_embedding, *projected.values()], dim=1)
        return torch.cat([self.user_embedding.repeat(1, len(projected) + 1), items])

    def _representations(
        self, joined: Embeddings, content: Mapping[str, Tensor], rows: DistinctRows | None
    ) -> Representations:
        users, items = (table.view(len(table), len(content) + 1, -1) for table in (joined.users, joined.items))
        return Representations(
            Embeddings(affine(self.fuse_users, joined.users), affine(self.fuse_items, joined.items)),
            content,
            LazyMapping(
                {"content": lambda: Embeddings(users[:, 1:].mean(1), items[:, 1:].mean(1))},
                {"behaviour": Embeddings(users[:, 0], items[:, 0]), "joined": joined},
            ),
            None if rows is None else rows.users,
            None if rows is None else rows.items,
        )

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`info_nce` of users with their items, and `ssl` unless its weight is zero."""
        users = reps.final.users.index_select(0, batch.users)  # (B, d)
        items = reps.final.items.index_select(0, batch.positives)
        terms = {"info_nce": info_nce(users, items, self.config.temperature, batch.users, batch.positives)}
        if self.config.ssl_weight:
            distinct, counts = torch.unique(batch.positives, return_counts=True)
            joined = reps.views["joined"].items.index_select(0, distinct)  # (n, (M + 1) d)
            anchor, *others = joined.chunk(len(self.anchors) + 1, dim=1)
            parts = []
            for step, target, other in zip(self.anchors, self.targets, others, strict=True):
                anchor = step(anchor)
                parts.append(_dot_nce(anchor, target(other), counts, self.config.ssl_temperature))
            terms["ssl"] = self.config.ssl_weight * torch.stack(parts).sum()
        return terms


def _unit_rows(table: FloatMatrix) -> FloatMatrix:
    unit: FloatMatrix = normalize(torch.tensor(table)).numpy()
    return unit


def _dot_nce(x: Tensor, y: Tensor, counts: Tensor, temperature: float) -> Tensor:
    """−mean log softmax_j(x_i · y_j / temperature) at j = i; row i of both (n, d) stands for `counts[i]` equal ones."""
    scores = matmul(x, y.t()) / temperature  # (n, n)
    counts = counts.to(x.dtype)
    each = torch.logsumexp(scores + counts.log(), dim=1) - scores.diagonal()
    return torch.dot(counts, each) / counts.sum()
