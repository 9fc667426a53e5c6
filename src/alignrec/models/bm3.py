"""BM3: bootstrapped alignment without negatives (Zhou et al., WWW 2023).

With G = (E + ÂE + … + Â^L E) / (L + 1) LightGCN's output, P one linear predictor shared by all, F_m the features:

    û = g_u,  î = g_i + e_i,  m = W_m f_i^m + b_m        targets  x' = sg dropout(x)
    score(u, i) = P(û) · P(î)

    L = [1 − cos(P(û), î')] + [1 − cos(P(î), û')]                                     rec
      + content_weight · Σ_m [1 − cos(P(m), î')]                                      align
      + content_weight · Σ_m [1 − cos(P(m), m')]                                      mask
      + reg_weight · (‖Û‖_F + ‖Î‖_F) / I      over all users and items                norm

with means over the batch. Sampled negatives are not read. As in the authors' code the features are trained, the
regulariser spans all nodes, and an item that occurs twice in a batch has one dropout mask. Masks are drawn with
torch's global generator, which the training loop seeds for every epoch; in evaluation mode nothing is dropped.

A step propagates over all nodes, as the regulariser needs them, and multiplies the features of the batch's distinct
positives alone.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import dropout

from alignrec.graphs import mean_interactions, normalized_adjacency
from alignrec.losses import cosine_alignment, embedding_norm
from alignrec.models.base import Backbone, xavier_uniform_table
from alignrec.models.lazy import LazyMapping
from alignrec.models.projection import FeatureProjections, linear
from alignrec.ops import matmul, propagate_mean, spmm
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, Representations, TrainData

__all__ = ["BM3", "BM3Config"]


class BM3Config(Settings):
    """Settings of BM3."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=1, ge=0)
    """Propagation steps L; the published runs chose 1 or 2."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of a target's entries set to zero, the others scaled up; the published runs chose 0.3 or 0.5."""
    content_weight: float = Field(default=2.0, ge=0)
    """Weight of the two terms of the features; 0 leaves them out."""
    reg_weight: float = Field(default=0.1, ge=0)
    """Weight of the norm (not squared) of all embeddings; the published runs chose 0.1 or 0.01."""
    trainable_features: bool = True
    """Whether features are fine-tuned, as in the published numbers."""


class BM3(Backbone[BM3Config]):
    """LightGCN with one skip connection, trained to predict its own perturbed targets."""

    Config = BM3Config
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.n_layers": (1, 2),
        "model.dropout": (0.3, 0.5),
        "model.reg_weight": (0.1, 0.01),
    }
    needs_features = True

    def __init__(self, config: BM3Config, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        size = config.embedding_size
        users = xavier_uniform_table(self.n_users, size, rng)
        items = xavier_uniform_table(self.n_items, size, rng)
        self.embedding = nn.Parameter(torch.cat([users, items]))  # (U + I, d)
        self.predictor = linear(size, size, rng, "xavier_normal")
        self.projections = FeatureProjections(
            data.features, size, rng, trainable=config.trainable_features, init="xavier_normal"
        )
        self.adjacency = normalized_adjacency(data.interactions)
        self.mean_of_items = mean_interactions(data.interactions)

    def represent(self) -> Representations:
        """All users and items; `online` is what the predictor is applied to."""
        behaviour = self.split(propagate_mean(self.adjacency, self.embedding, self.config.n_layers))
        online = Embeddings(behaviour.users, behaviour.items + self.embedding[self.n_users :])
        content = self.projections()

        def content_view() -> Embeddings:
            items = torch.stack(list(content.values())).mean(dim=0)
            return Embeddings(spmm(self.mean_of_items, items), items)

        views = LazyMapping({"content": content_view}, {"behaviour": behaviour, "online": online})
        return Representations(Embeddings(self._predict(online.users), self._predict(online.items)), content, views)

    def _predict(self, rows: Tensor) -> Tensor:
        return matmul(rows, self.predictor.weight.t()) + self.predictor.bias

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`rec`, `norm`, and `align` and `mask` unless their weight is zero."""
        config, online = self.config, reps.views["online"]
        items, item_rows = torch.unique(batch.positives, return_inverse=True)
        users, user_rows = torch.unique(batch.users, return_inverse=True)
        user_target = self._target(online.users.index_select(0, users))[user_rows]  # (B, d)
        item_target = self._target(online.items.index_select(0, items))[item_rows]
        terms = {
            "rec": cosine_alignment(reps.final.users.index_select(0, batch.users), item_target)
            + cosine_alignment(reps.final.items.index_select(0, batch.positives), user_target),
            "norm": config.reg_weight * embedding_norm(online.users, online.items),
        }
        if config.content_weight:
            projected = list(self.projections(items).values())  # (distinct, d) each
            predicted = [self._predict(rows)[item_rows] for rows in projected]
            masked = [self._target(rows)[item_rows] for rows in projected]
            align = torch.stack([cosine_alignment(rows, item_target) for rows in predicted]).sum()
            mask = torch.stack([cosine_alignment(*pair) for pair in zip(predicted, masked, strict=True)]).sum()
            terms["align"], terms["mask"] = config.content_weight * align, config.content_weight * mask
        return terms

    def _target(self, rows: Tensor) -> Tensor:
        return dropout(rows.detach(), self.config.dropout, self.training)
