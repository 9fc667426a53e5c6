"""VBPR: matrix factorisation whose item vectors are half id, half content (He and McAuley, AAAI 2016).

With f_i all features of item i, joined in the order of the data,

    h_i = [e_i ‖ W f_i + b],  h_u = [p_u ‖ q_u] ;  score(u, i) = h_u · h_i
    L = −mean log(1e-10 + σ(s_ui − s_uj)) + reg_weight · (‖h_u‖ + ‖h_i‖ + ‖h_j‖) / B

This is the form of the field's toolbox, which gave the published numbers: the paper's item and visual bias terms are
not in it, its authors' visual features have become all features, and those are not trained. The scored vectors are
twice `embedding_size` long. A step multiplies the features of the batch's items alone.

The two halves are the views "behaviour" and "content". As there is one joint content vector, and it is shorter than
what is scored, `Representations.content` is empty.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from alignrec.losses import bpr_loss_rows, embedding_norm_rows
from alignrec.models.base import Backbone, DistinctRows, xavier_uniform_table
from alignrec.models.projection import FeatureProjection, linear
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, FloatMatrix, Representations, TrainData

__all__ = ["VBPR", "VBPRConfig"]


class VBPRConfig(Settings):
    """Settings of VBPR."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of the id half and of the content half of a vector."""
    reg_weight: float = Field(default=0.1, ge=0)
    """Weight of the norm (not squared) of the batch's vectors."""
    trainable_features: bool = False
    """Whether the features are fine-tuned; fixed in the published numbers."""


class VBPR(Backbone[VBPRConfig]):
    """Matrix factorisation over ids and projected features."""

    Config = VBPRConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.reg_weight": (2.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5),
    }
    needs_features = True

    def __init__(self, config: VBPRConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        size = config.embedding_size
        self.user_embedding = nn.Parameter(xavier_uniform_table(self.n_users, 2 * size, rng))
        self.item_embedding = nn.Parameter(xavier_uniform_table(self.n_items, size, rng))
        features = _joined(data.features)
        layer = linear(features.shape[1], size, rng, "xavier_normal")
        nn.init.zeros_(layer.bias)
        self.content = FeatureProjection(features, layer, trainable=config.trainable_features)

    def represent(self) -> Representations:
        """Both halves of every user and item."""
        return self._representations(self.user_embedding, self.item_embedding, self.content())

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """Those of the batch's users and items."""
        rows = DistinctRows.of(batch)
        users, items = self.user_embedding.index_select(0, rows.users), self.item_embedding.index_select(0, rows.items)
        return self._representations(users, items, self.content(rows.items), rows), rows.batch

    def _representations(
        self, users: Tensor, items: Tensor, content: Tensor, rows: DistinctRows | None = None
    ) -> Representations:
        final = Embeddings(users, torch.cat([items, content], dim=1))
        behaviour_users, content_users = users.chunk(2, dim=1)
        views = {"behaviour": Embeddings(behaviour_users, items), "content": Embeddings(content_users, content)}
        if rows is None:
            return Representations(final, views=views)
        return Representations(final, views=views, user_ids=rows.users, item_ids=rows.items)

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr` and `norm`."""
        return {
            "bpr": bpr_loss_rows(reps.final, batch, epsilon=1e-10),
            "norm": self.config.reg_weight * embedding_norm_rows(reps.final, batch),
        }


def _joined(features: Mapping[str, FloatMatrix]) -> FloatMatrix:
    """All features of an item side by side, as they are (I, ΣD)."""
    tables = list(features.values())
    return tables[0] if len(tables) == 1 else np.concatenate(tables, axis=1)
