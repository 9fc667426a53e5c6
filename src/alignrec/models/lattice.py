"""LATTICE: an item-item graph that is learned along with the embeddings (Zhang et al., ACM MM 2021).

With F_m the features, x_m = W_m F_m + b_m their projections, w = softmax of learned weights over the modalities, kNN
the k largest cosines of each row (itself included) and N(K) = D^{-1/2} K D^{-1/2} with the row sums D:

    à = (1 − λ) N(Σ_m w_m kNN(x_m)) + λ Σ_m w_m N(kNN(F_m⁰)),   λ = `initial_share`
    h = Ã^l E_i,   G = (E + ĀE + … + Ā^L E) / (L + 1),  Ā = (D + 1)^{-1} (A + 1)
    score(u, i) = g_u · (g_i + h_i / ‖h_i‖)

    L = BPR + l2_weight · ½ Σ‖h‖² / B   over the batch's scored rows

As in the authors' code, the learned graph is rebuilt in the first batch of an epoch; that batch alone gives gradients
to features, projections and weights, the others use the graph as a constant. Evaluation rebuilds it. A parameter
without a gradient is not stepped; older releases of PyTorch, with which the numbers were published, let Adam's
momentum carry these on through the epoch.

Their graphs are dense, items by items; ours hold the kept neighbours only, with the same values. A similarity has a
gradient where it was kept. A rebuild costs one product of all features and one search for neighbours per modality,
once per epoch and evaluation; other steps cost what LightGCN's do. A single table has no learned weight.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, normalize

from alignrec.graphs import knn, knn_operator, mean_interactions, random_walk_adjacency
from alignrec.losses import bpr_loss_rows, squared_norm_rows
from alignrec.models.base import Backbone, DistinctRows, check_neighbors, xavier_uniform_table
from alignrec.models.lazy import LazyMapping
from alignrec.models.projection import FeatureProjections
from alignrec.ops import SparseOperator, propagate, propagate_mean, propagate_mean_and_tail, spmm
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, Representations, TrainData

__all__ = ["LATTICE", "LATTICEConfig"]

_SMALLEST_SUM = 1e-12


class LATTICEConfig(Settings):
    """Settings of LATTICE."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=2, ge=0)
    """Propagation steps L over the interactions."""
    n_content_layers: int = Field(default=1, ge=0)
    """Propagation steps l over the item-item graph."""
    n_neighbors: int = Field(default=10, ge=1)
    """Items kept per item and modality in the item-item graphs, the item itself among them."""
    initial_share: float = Field(default=0.9, ge=0, le=1)
    """λ: share of the graph of initial features in the item-item graph; the rest is learned."""
    l2_weight: float = Field(default=1e-5, ge=0)
    """Weight of ½ Σ‖h‖² / B over the batch's scored rows; the published runs chose among 0, 1e-5, 1e-4 and 1e-3."""
    l2_batch_size: int | None = Field(default=None, ge=1)
    """B of that term; by default the rows in the batch, the authors' code takes the configured batch size."""
    trainable_features: bool = True
    """Whether features are fine-tuned, as in the published numbers."""


class _Neighbors(NamedTuple):
    """The item-item graph in rows of equal length; an item may be listed twice in a row and then counts twice."""

    indices: Tensor  # (I, n) int64
    weights: Tensor  # (I, n)


class LATTICE(Backbone[LATTICEConfig]):
    """Propagation over the interactions and over a learned item-item graph."""

    Config = LATTICEConfig
    training_defaults: ClassVar[Mapping[str, Any]] = {"lr": 5e-4, "lr_decay": 0.96}
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.l2_weight": (0.0, 1e-5, 1e-4, 1e-3),
        "training.lr": (1e-4, 5e-4, 1e-3, 5e-3),
    }
    needs_features = True

    def __init__(self, config: LATTICEConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        check_neighbors("n_neighbors", config.n_neighbors, self.n_items, "items")
        size = config.embedding_size
        users = xavier_uniform_table(self.n_users, size, rng)
        items = xavier_uniform_table(self.n_items, size, rng)
        self.embedding = nn.Parameter(torch.cat([users, items]))  # (U + I, d)
        self.projections = FeatureProjections(data.features, size, rng, trainable=config.trainable_features)
        n_modalities = len(self.projections)
        equal = torch.full((n_modalities,), 1.0 / n_modalities)
        self.modality_logits = nn.Parameter(equal) if n_modalities > 1 else None
        self.initial = nn.ModuleList(knn_operator(table, config.n_neighbors) for table in data.features.values())
        self.learned: SparseOperator | None = None  # the graph of this epoch, once its first batch has built it
        self.adjacency = random_walk_adjacency(data.interactions)
        self.mean_of_items = mean_interactions(data.interactions)

    def start_epoch(self, rng: torch.Generator) -> None:  # noqa: ARG002  (nothing is drawn)
        """Let the next training batch rebuild the item-item graph."""
        self.learned = None

    def represent(self) -> Representations:
        """All users and items; in training mode with this epoch's graph, else with one of the present weights."""
        behaviour = self.split(propagate_mean(self.adjacency, self.embedding, self.config.n_layers))
        return self._representations(behaviour, self.embedding[self.n_users :])

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's users and items."""
        rows = DistinctRows.of(batch)
        nodes = rows.nodes(self.n_users)
        layers = self.config.n_layers
        mean, ids = propagate_mean_and_tail(self.adjacency, self.embedding, layers, nodes, self.n_users)
        return self._representations(rows.split(mean), ids, rows), rows.batch

    def _representations(self, behaviour: Embeddings, ids: Tensor, rows: DistinctRows | None = None) -> Representations:
        users, items = (None, None) if rows is None else (rows.users, rows.items)
        every = self._related(ids)
        related = every if items is None else every.index_select(0, items)

        def content() -> Embeddings:
            return Embeddings(spmm(self.mean_of_items, every, users), related)

        final = Embeddings(behaviour.users, behaviour.items + related)
        views = LazyMapping({"content": content}, {"behaviour": behaviour})
        return Representations(final, self.projections(items), views, users, items)

    def _related(self, items: Tensor) -> Tensor:
        """Unit rows (I, d) of what items with ids `items` (I, d) receive over the item-item graph."""
        layers = self.config.n_content_layers
        if self.training and self.learned is not None:
            return normalize(propagate(self.learned, items, layers))
        graph = self._built()
        if self.training:
            self.learned = _constant(graph)
        for _ in range(layers):
            items = embedding_bag(graph.indices, items, per_sample_weights=graph.weights, mode="sum")
        return normalize(items)

    def _built(self) -> _Neighbors:
        """à from the present weights, with gradients in its values: the learned neighbours, then the initial ones."""
        learned = [_nearest(table, self.config.n_neighbors) for table in self.projections().values()]
        shares = self._shares()
        indices = [graph.indices for graph in learned]
        weights = torch.cat([share * graph.weights for share, graph in zip(shares, learned, strict=True)], dim=1)
        sums = weights.sum(dim=1)
        scale = torch.where(sums > 0, sums.clamp_min(_SMALLEST_SUM).rsqrt(), 0.0)
        weights = weights * scale[:, None] * scale[torch.cat(indices, dim=1)]
        parts = [(1.0 - self.config.initial_share) * weights]
        for share, operator in zip(shares, cast(Iterable[SparseOperator], self.initial), strict=True):
            indices.append(operator.indices.view(self.n_items, -1).long())
            parts.append(self.config.initial_share * share * operator.values.view(self.n_items, -1))
        return _Neighbors(torch.cat(indices, dim=1), torch.cat(parts, dim=1))

    def _shares(self) -> Tensor:
        """w: how much each modality counts, (M,)."""
        if self.modality_logits is None:
            return self.embedding.new_ones(1)
        return torch.softmax(self.modality_logits, dim=0)

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr` and `l2`."""
        rows = self.config.l2_batch_size or len(batch)
        return {
            "bpr": bpr_loss_rows(reps.final, batch),
            "l2": self.config.l2_weight * squared_norm_rows(reps.final, batch, batch_size=rows),
        }


def _nearest(table: Tensor, k: int) -> _Neighbors:
    """The k nearest rows of each row of `table` (I, d) and their cosines, these with a gradient."""
    found = knn(table.detach().cpu().numpy().astype(np.float32, copy=False), k)
    indices = torch.from_numpy(found.indices).to(table.device)
    unit = normalize(table)
    return _Neighbors(indices, (unit[:, None] * unit[indices]).sum(dim=2))


def _constant(graph: _Neighbors) -> SparseOperator:
    """The same matrix without gradients, as the fast operator."""
    n_items, n = graph.indices.shape
    weights, indices = graph.weights.detach().cpu().numpy().ravel(), graph.indices.cpu().numpy().ravel()
    matrix = sparse.csr_array((weights, indices, np.arange(0, n_items * n + 1, n)), shape=(n_items, n_items))
    return SparseOperator.from_scipy(matrix).to(graph.weights.device)
