"""NCL: LightGCN contrasted with structural and semantic neighbours (Lin et al., WWW 2022).

With E = [E_u; E_i] id embeddings, Z_l = Â^l E, and NCE(x_b; Y) = −log softmax over the rows n of Y of
cos(x_b, y_n) / temperature, taken at the row that belongs to b:

    score(u, i) = g_u · g_i,   G = (Z_0 + … + Z_L) / (L + 1)
    L = BPR (with 1e-10 inside the logarithm) + reg_weight · (‖e_u‖ + ‖e_i‖ + ‖e_j‖) / B on unpropagated rows e
      + structure_weight · Σ_b [ NCE(Z_k[u]; E_u) + item_weight · NCE(Z_k[i]; E_i) ]      structure, k even
      + prototype_weight · Σ_b [ NCE(e_u; C_u) + NCE(e_i; C_i) ]                          prototype

C are k-means centroids of the unpropagated users and of the items, found anew at the start of every epoch; a node
belongs to the centroid that is nearest to it as it is, while the contrast scales both to length 1. As in the authors'
code both contrasts are sums over the batch next to a mean, so that their weight grows with the batch size (the
published weights are for 2048).

The authors' trainer leaves the prototypes out for the first 20 epochs, the runs in FETTLE's tables did not
(`warmup_epochs`). Clustering starts at random rows and makes 25 passes, as their library does; a centroid that lost all
its rows is put elsewhere. A step costs one propagation and the products of the batch's rows with all nodes and all
centroids, in tiles.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from alignrec.errors import SettingsError
from alignrec.graphs import normalized_adjacency
from alignrec.losses import bpr_loss_rows, embedding_norm_rows, info_nce_against
from alignrec.models.base import Backbone, DistinctRows, numbered_among_all, xavier_uniform_table
from alignrec.models.lazy import LazyMapping
from alignrec.ops import fit_centres, nearest_centres, propagate, propagate_mean, propagate_mean_rows
from alignrec.settings import Settings
from alignrec.types import Batch, Representations, TrainData

__all__ = ["NCL", "NCLConfig"]

_PASSES = 25


class NCLConfig(Settings):
    """Settings of NCL."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=3, ge=0)
    """Propagation steps L of what is scored."""
    structure_layer: int = Field(default=2, ge=1)
    """k: the layer contrasted with the unpropagated table; even, so that users meet users."""
    structure_weight: float = Field(default=1e-7, ge=0)
    """Weight of that contrast, a sum over the batch; 0 leaves it out."""
    item_weight: float = Field(default=1.0, ge=0)
    """α: weight of items against users in it."""
    n_prototypes: int = Field(default=1000, ge=2)
    """K: centroids of the users, and of the items; at most as many as there are of each."""
    prototype_weight: float = Field(default=8e-8, ge=0)
    """Weight of the contrast with centroids, a sum over the batch; 0 leaves it and the clustering out."""
    warmup_epochs: int = Field(default=0, ge=0)
    """Epochs before the first clustering; 20 in the authors' trainer, none in the runs of FETTLE's tables."""
    temperature: float = Field(default=0.1, gt=0)
    """τ of both contrasts."""
    reg_weight: float = Field(default=1e-4, ge=0)
    """Weight of the norm (not squared) of the batch's unpropagated embeddings."""


class _Prototypes(nn.Module):
    """Clusters of the users or of the items: centroids (K, d), and the number of each one's cluster, (rows,) int64."""

    centroids: Tensor
    owners: Tensor

    def __init__(self, centroids: Tensor, owners: Tensor) -> None:
        super().__init__()
        self.register_buffer("centroids", centroids, persistent=False)  # found again when the next epoch begins
        self.register_buffer("owners", owners, persistent=False)


class NCL(Backbone[NCLConfig]):
    """Propagation with neighbourhood-enriched contrast; knows ids only."""

    Config = NCLConfig
    # a decade to both sides of the published runs' weights, which come without a grid
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.structure_weight": (1e-8, 1e-7, 1e-6),
        "model.prototype_weight": (1e-8, 8e-8, 1e-6),
    }

    def __init__(self, config: NCLConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        fewest = min(self.n_users, self.n_items)
        if config.prototype_weight and config.n_prototypes > fewest:
            raise SettingsError(
                f"setting 'model.n_prototypes' cannot be {config.n_prototypes} with {self.n_users} users and "
                f"{self.n_items} items; give at most {fewest}, or model.prototype_weight=0 for none"
            )
        users = xavier_uniform_table(self.n_users, config.embedding_size, rng)
        items = xavier_uniform_table(self.n_items, config.embedding_size, rng)
        self.embedding = nn.Parameter(torch.cat([users, items]))  # (U + I, d)
        self.adjacency = normalized_adjacency(data.interactions)
        self.register_buffer("epochs_begun", torch.zeros((), dtype=torch.int64))  # saved: a resumed run counts on
        self.epochs_begun: Tensor
        self.user_prototypes: _Prototypes | None = None
        self.item_prototypes: _Prototypes | None = None

    def start_epoch(self, rng: torch.Generator) -> None:
        """Cluster users and items, unless still warming up."""
        self.epochs_begun += 1
        if self.config.prototype_weight and int(self.epochs_begun) > self.config.warmup_epochs:
            ego = self.split(self.embedding.detach())
            self.user_prototypes = _cluster(ego.users, self.config.n_prototypes, rng)
            self.item_prototypes = _cluster(ego.items, self.config.n_prototypes, rng)

    def represent(self) -> Representations:
        """All nodes: what is scored, `ego` without propagation, and `structure` after k steps of it."""
        final = self.split(propagate_mean(self.adjacency, self.embedding, self.config.n_layers))
        ego = self.split(self.embedding)
        structure = {"structure": lambda: self.split(self._layer())}
        return Representations(final, views=LazyMapping(structure, {"behaviour": final, "ego": ego}))

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's nodes."""
        rows = DistinctRows.of(batch)
        nodes = rows.nodes(self.n_users)
        ego, mean = propagate_mean_rows(self.adjacency, self.embedding, self.config.n_layers, nodes)
        final = rows.split(mean)
        structure = {"structure": lambda: rows.split(self._layer(nodes))}
        views = LazyMapping(structure, {"behaviour": final, "ego": rows.split(ego)})
        return Representations(final, views=views, user_ids=rows.users, item_ids=rows.items), rows.batch

    def _layer(self, nodes: Tensor | None = None) -> Tensor:
        return propagate(self.adjacency, self.embedding, self.config.structure_layer, nodes)

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr`, `norm`, `structure` unless its weight is zero, and `prototype` once there are clusters."""
        config = self.config
        terms = {
            "bpr": bpr_loss_rows(reps.final, batch, epsilon=1e-10),
            "norm": config.reg_weight * embedding_norm_rows(reps.views["ego"], batch),
        }
        if config.structure_weight:
            terms["structure"] = config.structure_weight * self._structure(reps, batch)
        if config.prototype_weight and self.user_prototypes is not None and self.item_prototypes is not None:
            ego, among_all = reps.views["ego"], numbered_among_all(reps, batch)
            by_user = self._to_centroids(ego.users, batch.users, among_all.users, self.user_prototypes)
            by_item = self._to_centroids(ego.items, batch.positives, among_all.positives, self.item_prototypes)
            terms["prototype"] = config.prototype_weight * (by_user + by_item)
        return terms

    def _structure(self, reps: Representations, batch: Batch) -> Tensor:
        """Neighbours' neighbours against the unpropagated rows of everybody."""
        structure, every, temperature = reps.views["structure"], self.split(self.embedding), self.config.temperature
        among_all = numbered_among_all(reps, batch)
        by_user = info_nce_against(structure.users, batch.users, every.users, among_all.users, temperature, "sum")
        by_item = info_nce_against(
            structure.items, batch.positives, every.items, among_all.positives, temperature, "sum"
        )
        return by_user + self.config.item_weight * by_item

    def _to_centroids(self, ego: Tensor, rows: Tensor, ids: Tensor, prototypes: _Prototypes) -> Tensor:
        """Rows of `ego` against all centroids; `ids` are the rows' numbers among all users or items."""
        owners = prototypes.owners.index_select(0, ids)
        return info_nce_against(ego, rows, prototypes.centroids, owners, self.config.temperature, "sum")


def _cluster(rows: Tensor, n_clusters: int, rng: torch.Generator) -> _Prototypes:
    """k-means of `rows` (n, d), on the CPU; the result is where `rows` are."""
    draws = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=rng)))
    points = rows.cpu()
    centroids = fit_centres(points, n_clusters, draws, passes=_PASSES)
    owners, _ = nearest_centres(points, centroids)
    return _Prototypes(centroids.to(rows.device), owners.to(rows.device))
