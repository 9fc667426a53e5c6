"""AlignRec: alignment of content with ids and of users with items (Liu et al., CIKM 2024).

With F the unified item features, E = [E_u; E_i] id embeddings, Â and R̂ the normalised interaction graph and
its user-item block, S the normalised item-item graph of the k most similar items by initial features:

    G     = σ(W₂ (W₁ F + b₁) + b₂)                    gate
    h_mm^i = S^l (E_i ⊙ G),  h_mm^u = R̂ h_mm^i        content view      (Eqs. 4-6)
    H_id  = (E + ÂE + … + Â^L E) / (L + 1)            behaviour view
    h     = H_id + h_mm                               what is scored    (Eq. 7)

    L = BPR(h) + l2_weight · ½ Σ‖h‖² / B
      + cca_weight · [NCE(h_mm^i, h_id^i) + NCE(h_mm^u, h_id^u)]        (Eq. 10)
      + uia_weight · (1 − mean cos(h^u, h^i))                           (Eq. 12)
      + reg_weight · ‖Z Zᵀ − sg C(F)‖_F / B,  Z = h_mm^i of the batch   (Eq. 11)

Where the paper and the authors' code differ, the default is the form that gave the published numbers: dot
products in the regulariser, trainable features, an L2 term. The paper's forms are settings.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from alignrec.graphs import knn_operator, normalized_adjacency, normalized_interactions
from alignrec.losses import (
    bpr_loss_rows,
    cosine_alignment_rows,
    info_nce_rows,
    similarity_regularizer_rows,
    squared_norm_rows,
)
from alignrec.models.base import Backbone, DistinctRows, check_neighbors, xavier_uniform_table
from alignrec.models.projection import FeatureProjection, linear
from alignrec.ops import propagate, propagate_mean, propagate_mean_and_tail, spmm
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, FloatMatrix, Representations, TrainData

__all__ = ["AlignRec", "AlignRecConfig", "unified_features"]


class AlignRecConfig(Settings):
    """Settings of AlignRec; α, β and λ of the paper are `cca_weight`, `uia_weight` and `reg_weight`."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=2, ge=0)
    """Propagation steps L of the behaviour view."""
    n_content_layers: int = Field(default=1, ge=0)
    """Propagation steps l over the item-item graph."""
    n_neighbors: int = Field(default=10, ge=1)
    """Items kept per item in the item-item graph, the item itself among them (K' of the paper)."""
    cca_weight: float = Field(default=0.01, ge=0)
    """α: alignment of the content view with the behaviour view; 0 leaves it out."""
    uia_weight: float = Field(default=0.1, ge=0)
    """β: alignment of users with the items they took; 0 leaves it out."""
    reg_weight: float = Field(default=0.1, ge=0)
    """λ: the content view keeps the similarities of the features; 0 leaves it out."""
    temperature: float = Field(default=0.2, gt=0)
    """τ of the contrastive alignment."""
    l2_weight: float = Field(default=1e-4, ge=0)
    """Weight of ½ Σ‖h‖² / B over the batch's scored rows (in the authors' code, not in the paper)."""
    l2_batch_size: int | None = Field(default=None, ge=1)
    """B of that term; by default the rows in the batch, the authors' code takes the configured batch size."""
    reg_form: Literal["dot", "cosine"] = "dot"
    """`dot` compares dot products of the content view with feature cosines (authors' code); `cosine` is the paper's."""
    trainable_features: bool = True
    """Whether features are fine-tuned, as in the published numbers; the item-item graph stays as it was built."""
    alias_reg_target: bool = False
    """Whether the regulariser's target follows the fine-tuned features (authors' code) or stays fixed (paper)."""


class AlignRec(Backbone[AlignRecConfig]):
    """Aggregator and Fuser of AlignRec; several modalities are joined into one unified table."""

    Config = AlignRecConfig
    training_defaults: ClassVar[Mapping[str, Any]] = {"lr_decay": 0.96, "patience": 30}
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.reg_weight": (0.1, 0.2, 0.3),
        "training.lr": (3e-4, 1e-4),
    }
    needs_features = True

    def __init__(self, config: AlignRecConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        check_neighbors("n_neighbors", config.n_neighbors, self.n_items, "items")
        size = config.embedding_size
        users = xavier_uniform_table(self.n_users, size, rng)
        items = xavier_uniform_table(self.n_items, size, rng)
        self.embedding = nn.Parameter(torch.cat([users, items]))  # (U + I, d)
        unified = unified_features(data)
        self.register_buffer(
            "initial_features", torch.from_numpy(unified), persistent=False
        )  # (I, D), the data's memory
        self.initial_features: Tensor
        layer = linear(unified.shape[1], size, rng)
        self.features = FeatureProjection(unified, layer, trainable=config.trainable_features)
        self.gate = linear(size, size, rng)
        self.adjacency = normalized_adjacency(data.interactions)
        self.interactions = normalized_interactions(data.interactions)
        self.neighbors = knn_operator(unified, config.n_neighbors)

    def represent(self) -> Representations:
        """Both views over all nodes, and their sum."""
        behaviour = self.split(propagate_mean(self.adjacency, self.embedding, self.config.n_layers))
        hidden, items = self._content(self.embedding[self.n_users :])
        content = Embeddings(spmm(self.interactions, items), items)
        return _fused(behaviour, content, hidden)

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's users and items; only the content of items is computed for all."""
        rows = DistinctRows.of(batch)
        nodes, layers = rows.nodes(self.n_users), self.config.n_layers
        mean, every = propagate_mean_and_tail(self.adjacency, self.embedding, layers, nodes, self.n_users)
        hidden, items = self._content(every)
        content = Embeddings(spmm(self.interactions, items, rows.users), items.index_select(0, rows.items))
        reps = _fused(rows.split(mean), content, hidden.index_select(0, rows.items))
        return replace(reps, user_ids=rows.users, item_ids=rows.items), rows.batch

    def _content(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Projected features (I, d), and gated id embeddings `items` after the item-item graph (I, d)."""
        hidden = self.features()
        gated = items * torch.sigmoid(self.gate(hidden))
        return hidden, propagate(self.neighbors, gated, self.config.n_content_layers)

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr`, `l2`, and those of `cca`, `uia`, `reg` whose weight is not zero."""
        config, content, behaviour = self.config, reps.views["content"], reps.views["behaviour"]
        rows = config.l2_batch_size or len(batch)
        terms = {
            "bpr": bpr_loss_rows(reps.final, batch),
            "l2": config.l2_weight * squared_norm_rows(reps.final, batch, batch_size=rows),
        }
        if config.cca_weight:
            by_item = info_nce_rows(content.items, behaviour.items, batch.positives, config.temperature)
            by_user = info_nce_rows(content.users, behaviour.users, batch.users, config.temperature)
            terms["cca"] = config.cca_weight * (by_item + by_user)
        if config.uia_weight:
            final, pairs = reps.final, (batch.users, batch.positives)
            terms["uia"] = config.uia_weight * cosine_alignment_rows(final.users, final.items, *pairs)
        if config.reg_weight:
            source = self.features.table.detach() if config.alias_reg_target else self.initial_features
            ids, form = batch.positives, config.reg_form
            kept = similarity_regularizer_rows(content.items, source, ids, form, target_ids=reps.item_ids)
            terms["reg"] = config.reg_weight * kept
        return terms


def _fused(behaviour: Embeddings, content: Embeddings, hidden: Tensor) -> Representations:
    final = Embeddings(behaviour.users + content.users, behaviour.items + content.items)
    return Representations(final, {"unified": hidden}, {"behaviour": behaviour, "content": content})


def unified_features(data: TrainData) -> FloatMatrix:
    """One feature table (I, D): the only one given, as it is, or all joined with rows of each scaled to length 1."""
    tables = list(data.features.values())
    if len(tables) == 1:
        return tables[0]
    blocks = [table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12) for table in tables]
    return np.concatenate(blocks, axis=1).astype(np.float32)
