"""DualGNN: users' preferences per modality, shared among users who took the same items (Wang et al., TMM 2021).

With F_m the features of modality m, P_m the users' preferences, n(·) unit rows, φ leaky ReLU, Â the normalised
interaction graph, C_uv the number of training items that u and v have in common, N(u) the `n_user_neighbors` users
with the largest C_uv,

    x_m = n([P_m; B_m φ(A_m F_m + a_m) + b_m]),   z_m = x_m + Âx_m + … + Â^L x_m
    r_u = Σ_m w_um z_m,u,    h_u = r_u + Σ_{v ∈ N(u)} softmax(C_u)_v r_v,    h_i = Σ_m z_m,i
    score(u, i) = h_u · h_i

    L = −mean log σ(s_ui − s_uj) + reg_weight · [ Σ_m mean P_m,u² over the batch + mean w² ]

w starts as the softmax of random numbers and is then free. There are no id embeddings of items.

The code that gave the published numbers does otherwise in four points, which `official` brings back:
- modalities are added in place, so that w_u1 weighs their sum: r = w_u1 Σ_m z_m + Σ_{m>1} w_um z_m;
- the logarithm is log2;
- there is a weight per item and modality that enters nothing but the regulariser;
- a short list N(u) is filled up with random repeats, drawn anew every epoch, and who is repeated weighs more. That is
  for training; evaluation takes the list as it is, so that the same weights always rank alike.
Two things of that code are not in ours at all: a graph without a tenth of the items' modalities, built and never used;
and an evaluation that reads the output of the last training step. Its neighbours come from a file of each user's first
200, of which 40 are read; here they are counted from the training interactions, equal counts in the order of the users.

The user graph costs Σ_i d_i² additions over the items' degrees, once. A step propagates all modalities side by side
over all nodes; the users' neighbours are summed for the batch's users alone.

All of this is linear in x_m, so what is scored falls into two parts: the views "behaviour", from the preferences, and
"content", from the features.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, normalize

from alignrec.graphs import co_occurrence, normalized_adjacency
from alignrec.losses import bpr_loss_rows
from alignrec.models.base import Backbone, DistinctRows, xavier_normal_table
from alignrec.models.lazy import LazyMapping
from alignrec.models.projection import FeatureProjections, affine, linear
from alignrec.ops import SparseOperator, propagate_mean, spmm
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, Representations, TrainData

__all__ = ["DualGNN", "DualGNNConfig"]


class DualGNNConfig(Settings):
    """Settings of DualGNN."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    hidden_size: int = Field(default=256, ge=1)
    """Width between the two linear maps of the features."""
    n_layers: int = Field(default=2, ge=0)
    """Propagation steps L over the interactions; 2 in the published runs."""
    n_user_neighbors: int = Field(default=40, ge=1)
    """How many users, those with most training items in common, a user learns from."""
    reg_weight: float = Field(default=1e-3, ge=0)
    """Weight of the mean squares; the published runs chose among 1e-5 to 0.1."""
    official: bool = False
    """Do as the code behind the published numbers: modalities added in place, log2, item weights that are only
    regularised, and neighbours filled up with random repeats in training."""


class DualGNN(Backbone[DualGNNConfig]):
    """Propagation per modality over the interactions, then among users with common items."""

    Config = DualGNNConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.reg_weight": (0.1, 1e-2, 1e-3, 1e-4, 1e-5),
        "training.lr": (0.1, 1e-2, 1e-3, 1e-4, 1e-5),
    }
    needs_features = True

    def __init__(self, config: DualGNNConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        size, n_modalities = config.embedding_size, len(data.features)
        self.preferences = nn.ParameterList(xavier_normal_table(self.n_users, size, rng) for _ in data.features)
        self.projections = FeatureProjections(data.features, config.hidden_size, rng, trainable=False)
        self.outputs = nn.ModuleList(linear(config.hidden_size, size, rng) for _ in data.features)
        self.user_weights: Tensor | None = None  # (U, M); a single table has nothing to weigh
        if n_modalities > 1:
            self.user_weights = nn.Parameter(xavier_normal_table(self.n_users, n_modalities, rng).softmax(1))
        if config.official:
            self.item_weights = nn.Parameter(xavier_normal_table(self.n_items, n_modalities, rng).softmax(1))
        self.adjacency = normalized_adjacency(data.interactions)
        self.common = co_occurrence(data.interactions, config.n_user_neighbors)
        self.neighbors = _attention(self.common)
        self.padded: SparseOperator | None = None

    def start_epoch(self, rng: torch.Generator) -> None:
        """If `official`, draw the repeats that fill up short lists of neighbours in training."""
        if self.config.official:
            repeats = _repeats(self.common, self.config.n_user_neighbors, rng)
            self.padded = _attention(self.common, repeats).to(self.preferences[0].device)

    def represent(self) -> Representations:
        """All users and items, and each modality's items by features alone."""
        return self._representations(None)

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's users and items; users learn from neighbours outside of it too."""
        rows = DistinctRows.of(batch)
        return self._representations(rows), rows.batch

    def _representations(self, rows: DistinctRows | None) -> Representations:
        users, items = (None, None) if rows is None else (rows.users, rows.items)
        preferences, content = self._inputs()
        final = self._output(torch.cat([preferences, content]), rows)
        views = LazyMapping(
            {
                "behaviour": lambda: self._output(torch.cat([preferences, torch.zeros_like(content)]), rows),
                "content": lambda: self._output(torch.cat([torch.zeros_like(preferences), content]), rows),
            }
        )
        projected = content if items is None else content.index_select(0, items)
        by_modality = projected.chunk(len(self.projections), dim=1)
        return Representations(final, dict(zip(self.projections.names, by_modality, strict=True)), views, users, items)

    def _inputs(self) -> tuple[Tensor, Tensor]:
        """x_m of users (U, M d) and of items (I, M d), the modalities side by side."""
        hidden = [leaky_relu(x) for x in self.projections().values()]
        items = [affine(cast(nn.Linear, out), x) for out, x in zip(self.outputs, hidden, strict=True)]
        return torch.cat([normalize(p) for p in self.preferences], 1), torch.cat([normalize(x) for x in items], 1)

    def _output(self, inputs: Tensor, rows: DistinctRows | None) -> Embeddings:
        """What is scored of users and items, linear in `inputs` (U + I, M d)."""
        layers = self.config.n_layers
        summed = self.split((layers + 1) * propagate_mean(self.adjacency, inputs, layers))
        n_modalities = len(self.projections)
        by_modality = summed.users.view(self.n_users, n_modalities, -1)  # (U, M, d)
        weights = self._weights()
        users = by_modality[:, 0] if weights is None else (by_modality * weights[:, :, None]).sum(1)
        graph = self.padded if self.training and self.padded is not None else self.neighbors
        items = summed.items if rows is None else summed.items.index_select(0, rows.items)
        items = items.view(len(items), n_modalities, -1).sum(1)
        if rows is None:
            return Embeddings(users + spmm(graph, users), items)
        return Embeddings(users.index_select(0, rows.users) + spmm(graph, users, rows.users), items)

    def _weights(self) -> Tensor | None:
        """How much of each modality makes a user, (U, M); None: all of the only one."""
        if self.user_weights is None or not self.config.official:
            return self.user_weights
        first, others = self.user_weights[:, :1], self.user_weights[:, 1:]
        return torch.cat([first, others + first], dim=1)

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr`, and `mean_square` of the batch's preferences and of all weights."""
        bpr = bpr_loss_rows(reps.final, batch)
        ids = batch.users if reps.user_ids is None else reps.user_ids.index_select(0, batch.users)
        squares = [table.index_select(0, ids).square().mean() for table in self.preferences]
        if self.user_weights is not None:
            squares.append(self.user_weights.square().mean())
        if self.config.official:
            bpr = bpr / math.log(2.0)
            squares.append(self.item_weights.square().mean())
        return {"bpr": bpr, "mean_square": self.config.reg_weight * torch.stack(squares).sum()}


def _attention(common: sparse.csr_array, repeats: NDArray[np.int64] | None = None) -> SparseOperator:
    """(U, U): the softmax of each row's counts, an entry counted as often as `repeats` says."""
    lengths = np.diff(common.indptr)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    largest = np.zeros(len(lengths), dtype=common.data.dtype)
    np.maximum.at(largest, rows, common.data)
    weights = np.exp((common.data - largest[rows]).astype(np.float64))
    if repeats is not None:
        weights *= repeats
    weights /= np.bincount(rows, weights, minlength=len(lengths))[rows]
    return SparseOperator.from_scipy(sparse.csr_array((weights, common.indices, common.indptr), shape=common.shape))


def _repeats(common: sparse.csr_array, k: int, rng: torch.Generator) -> NDArray[np.int64]:
    """How often each entry occurs once all rows are filled up to k by repeating a random one of those already there."""
    lengths = np.diff(common.indptr)
    short = np.flatnonzero((lengths > 0) & (lengths < k))
    listed = np.tile(np.arange(k), (len(short), 1))  # (n, k) which of its own entries stands at each place
    for place in range(1, k):
        filled = np.flatnonzero(lengths[short] <= place)
        drawn = torch.randint(0, place, (len(filled),), generator=rng).numpy()
        listed[filled, place] = listed[filled, drawn]
    extra = np.bincount((common.indptr[short][:, None] + listed).ravel(), minlength=common.nnz)
    return np.maximum(extra, 1)
