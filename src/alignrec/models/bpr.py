"""BPR: matrix factorisation trained on pairs (Rendle et al., UAI 2009), in the form of the field's toolbox.

score(u, i) = e_u · e_i ;  L = −mean log(1e-10 + σ(s_ui − s_uj)) + reg_weight · (‖e_u‖ + ‖e_i‖ + ‖e_j‖) / B
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from alignrec.losses import bpr_loss, embedding_norm
from alignrec.models.base import Backbone, batch_rows, xavier_normal_table
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, Representations, TrainData

__all__ = ["BPR", "BPRConfig"]


class BPRConfig(Settings):
    """Settings of BPR."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    reg_weight: float = Field(default=0.1, ge=0)
    """Weight of the norm (not squared) of the batch's embeddings."""


class BPR(Backbone[BPRConfig]):
    """Matrix factorisation; knows ids only."""

    Config = BPRConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.reg_weight": (2.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5),
    }

    def __init__(self, config: BPRConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        self.user_embedding = nn.Parameter(xavier_normal_table(self.n_users, config.embedding_size, rng))
        self.item_embedding = nn.Parameter(xavier_normal_table(self.n_items, config.embedding_size, rng))

    def represent(self) -> Representations:
        """The tables themselves."""
        final = Embeddings(self.user_embedding, self.item_embedding)
        return Representations(final, views={"behaviour": final})

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr` and `norm`."""
        users, positives, negatives = batch_rows(reps.final, batch)  # (B, d) each
        return {
            "bpr": bpr_loss((users * positives).sum(1), (users * negatives).sum(1), epsilon=1e-10),
            "norm": self.config.reg_weight * embedding_norm(users, positives, negatives),
        }
