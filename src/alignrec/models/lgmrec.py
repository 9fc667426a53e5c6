"""LGMRec: local interaction graphs and a global hypergraph of attributes (Guo et al., AAAI 2024).

With F_m the features of modality m, E = [E_u; E_i] id embeddings, Â the normalised interaction graph, R the
interactions and n(·) scaling rows to length 1:

    C   = (E + ÂE + … + Â^L E) / (L + 1)                                            behaviour
    X_m = Â^l [ mean over a user's items of F_m W_m ; F_m W_m ]                     content of modality m
    H_m^i = softmax((F_m V_m + noise) / τ),  H_m^u = softmax((R F_m V_m + noise) / τ)    to which hyperedges one belongs
    G_m = (H_m^u y, H_m^i y),  y = H_m^iᵀ C_i, repeated with C_i ← H_m^i y          hypergraph
    h   = C + Σ_m n(X_m) + global_weight · n(Σ_m G_m) ;  score(u, i) = h_u · h_i

    L = BPR + reg_weight · (‖h_u‖ + ‖h_i‖ + ‖h_j‖) / B
      + contrastive_weight · Σ over pairs of modalities m < n of Σ_b [ NCE(G_m[u]; G_n) + NCE(G_m[i]; G_n) ]

NCE compares with all users or all items and is, as in the authors' code, a sum over the batch and one direction, from
the first modality to the second; with one table there is nothing to contrast. Their noise (Gumbel) is drawn in
evaluation too, so that their metrics are random: here it, and the dropout of memberships, belong to training steps
alone and come from torch's global generator, which the training loop seeds for every epoch. Evaluation uses the plain
softmax. Features are not trained.

A step multiplies all features once, with W_m and V_m side by side. What is scored is computed for the batch's rows. The
rows of G_n are H vectors y in as many proportions, so that the batch's cosines with all nodes are products H and not d
long: x · G_n[v] = (y x) · H_n[v].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, ClassVar, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import dropout, normalize

from alignrec.graphs import mean_interactions, normalized_adjacency
from alignrec.losses import bpr_loss_rows, embedding_norm_rows, info_nce_against
from alignrec.models.base import Backbone, DistinctRows, numbered_among_all, xavier_uniform_table
from alignrec.models.lazy import LazyMapping
from alignrec.ops import SMALLEST_NORM, matmul, project, propagate, propagate_mean, spmm
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, FloatMatrix, Representations, TrainData

__all__ = ["LGMRec", "LGMRecConfig"]


class LGMRecConfig(Settings):
    """Settings of LGMRec; the published runs chose layers, hyperedges, keep rate and global weight per dataset."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=2, ge=0)
    """Propagation steps L of the behaviour."""
    n_content_layers: int = Field(default=2, ge=0)
    """Propagation steps l of the content, over the interactions."""
    n_hypergraph_layers: int = Field(default=1, ge=1)
    """Times the hypergraph is passed; the published runs chose 1 (Baby, Sports) or 2 (Clothing)."""
    n_hyperedges: int = Field(default=4, ge=1)
    """Hyperedges per modality; the published runs chose 4 (Baby, Sports) or 64 (Clothing)."""
    hyperedge_dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of memberships set to zero in a training step; the published runs chose 0.5, 0.6 and 0.8."""
    gumbel_noise: bool = True
    """Whether memberships are drawn with Gumbel noise in training."""
    hyperedge_temperature: float = Field(default=0.2, gt=0)
    """τ of the memberships."""
    global_weight: float = Field(default=0.3, ge=0)
    """Weight of the hypergraph in what is scored; the published runs chose 0.3, 0.6 and 0.2."""
    contrastive_weight: float = Field(default=1e-4, ge=0)
    """Weight of the contrast between the modalities' hypergraphs, a sum over the batch; 0 leaves it out."""
    temperature: float = Field(default=0.2, gt=0)
    """Temperature of that contrast."""
    reg_weight: float = Field(default=1e-6, ge=0)
    """Weight of the norm (not squared) of the batch's scored rows."""


class _Hypergraph(NamedTuple):
    """One modality's: shares of users and items in the hyperedges, and what the hyperedges hold; G_m = shares · y."""

    of_users: Tensor  # (U, H)
    of_items: Tensor  # (I, H)
    edges: Tensor  # (H, d)

    def reached(self, rows: DistinctRows | None) -> Embeddings:
        """G_m of all users and items, or of the batch's."""
        users, items = self.of_users, self.of_items
        if rows is not None:
            users, items = users.index_select(0, rows.users), items.index_select(0, rows.items)
        return Embeddings(matmul(users, self.edges), matmul(items, self.edges))


@dataclass(frozen=True)
class _Represented(Representations):
    """What the contrast needs of all nodes comes along with the rows of a batch."""

    hypergraphs: tuple[_Hypergraph, ...] = ()


class LGMRec(Backbone[LGMRecConfig]):
    """Local graphs of behaviour and content, and a global hypergraph."""

    Config = LGMRecConfig
    # what the published runs chose on one dataset or another
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.n_hypergraph_layers": (1, 2),
        "model.n_hyperedges": (4, 64),
        "model.hyperedge_dropout": (0.5, 0.6, 0.8),
        "model.global_weight": (0.2, 0.3, 0.6),
    }
    needs_features = True

    def __init__(self, config: LGMRecConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        users = xavier_uniform_table(self.n_users, config.embedding_size, rng)
        items = xavier_uniform_table(self.n_items, config.embedding_size, rng)
        self.embedding = nn.Parameter(torch.cat([users, items]))  # (U + I, d)
        self.names = tuple(data.features)
        # A list, since a module's name may not be any name that features may have.
        self.modalities = nn.ModuleList(
            _Modality(table, config.embedding_size, config.n_hyperedges, rng) for table in data.features.values()
        )
        self.adjacency = normalized_adjacency(data.interactions)
        self.mean_of_items = mean_interactions(data.interactions)
        counts = torch.from_numpy(data.interactions.sum(axis=1)).float()
        self.register_buffer("items_per_user", counts[:, None], persistent=False)  # (U, 1)
        self.items_per_user: Tensor

    def represent(self) -> Representations:
        """All users and items; views named `hypergraph of` a modality hold G_m."""
        return self._represented(None)

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's users and items."""
        rows = DistinctRows.of(batch)
        return self._represented(rows), rows.batch

    def _represented(self, rows: DistinctRows | None) -> _Represented:
        nodes = None if rows is None else rows.nodes(self.n_users)
        every = propagate_mean(self.adjacency, self.embedding, self.config.n_layers)
        behaviour = every if nodes is None else every.index_select(0, nodes)
        projected, logits = zip(*(part() for part in self.modalities), strict=True)
        reached = [self._hypergraph(of_items, self.split(every).items) for of_items in logits]
        hypergraphs = [graph.reached(rows) for graph in reached]
        globally = torch.stack([torch.cat([graph.users, graph.items]) for graph in hypergraphs]).sum(dim=0)
        content = self._content(torch.cat(projected, dim=1), nodes)
        final = behaviour + content + self.config.global_weight * normalize(globally)
        views = {"behaviour": behaviour, "content": content}
        cut = self.split if rows is None else rows.split
        return _Represented(
            cut(final),
            _tables(self.names, projected, rows),
            {name: cut(view) for name, view in views.items()}
            | {f"hypergraph of {name}": graph for name, graph in zip(self.names, hypergraphs, strict=True)},
            None if rows is None else rows.users,
            None if rows is None else rows.items,
            tuple(reached),
        )

    def _content(self, items: Tensor, rows: Tensor | None) -> Tensor:
        """Σ_m n(X_m) of nodes (n, d) from all modalities side by side (I, M d): one product propagates them."""
        nodes = torch.cat([spmm(self.mean_of_items, items), items])  # (U + I, M d)
        reached = propagate(self.adjacency, nodes, self.config.n_content_layers, rows)
        return torch.stack([normalize(x) for x in reached.chunk(len(self.names), dim=1)]).sum(dim=0)

    def _hypergraph(self, item_logits: Tensor, items: Tensor) -> _Hypergraph:
        """Of one modality, from the items' logits (I, H) and behaviour (I, d)."""
        user_logits = self.items_per_user * spmm(self.mean_of_items, item_logits)
        of_items, of_users = self._memberships(item_logits), self._memberships(user_logits)
        edges = matmul(of_items.t(), items)  # (H, d)
        for _ in range(self.config.n_hypergraph_layers - 1):
            edges = matmul(of_items.t(), matmul(of_items, edges))
        return _Hypergraph(of_users, of_items, edges)

    def _memberships(self, logits: Tensor) -> Tensor:
        config = self.config
        if self.training and config.gumbel_noise:
            logits = logits + _gumbel_like(logits)
        shares = torch.softmax(logits / config.hyperedge_temperature, dim=1)
        return dropout(shares, config.hyperedge_dropout, self.training)

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr`, `norm`, and `contrastive` if there are several modalities and its weight is not zero."""
        config = self.config
        terms = {
            "bpr": bpr_loss_rows(reps.final, batch),
            "norm": config.reg_weight * embedding_norm_rows(reps.final, batch),
        }
        if config.contrastive_weight and len(self.names) > 1:
            graphs, among_all = cast(_Represented, reps).hypergraphs, numbered_among_all(reps, batch)
            rows = [reps.views[f"hypergraph of {name}"] for name in self.names]
            pairs = combinations(range(len(graphs)), 2)
            parts = [self._contrast(rows[first], graphs[second], batch, among_all) for first, second in pairs]
            terms["contrastive"] = config.contrastive_weight * torch.stack(parts).sum()
        return terms

    def _contrast(self, first: Embeddings, second: _Hypergraph, batch: Batch, among_all: Batch) -> Tensor:
        def against(anchors: Tensor, ids: Tensor, shares: Tensor, positives: Tensor) -> Tensor:
            shares = shares / _lengths(shares, second.edges)
            along_edges = matmul(normalize(anchors), second.edges.t())  # (n, H)
            temperature = self.config.temperature
            return info_nce_against(along_edges, ids, shares, positives, temperature, "sum", are_units=True)

        by_user = against(first.users, batch.users, second.of_users, among_all.users)
        return by_user + against(first.items, batch.positives, second.of_items, among_all.positives)


class _Modality(nn.Module):
    """Fixed features F (I, D) with W (D, d) and V (D, H)."""

    table: Tensor

    def __init__(self, features: FloatMatrix, size: int, n_hyperedges: int, rng: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("table", torch.tensor(features), persistent=False)
        self.weight = nn.Parameter(xavier_uniform_table(features.shape[1], size, rng))
        self.hyperedges = nn.Parameter(xavier_uniform_table(features.shape[1], n_hyperedges, rng))

    def forward(self) -> tuple[Tensor, Tensor]:
        """F W (I, d) and F V (I, H)."""
        product = project(self.table, torch.cat([self.weight, self.hyperedges], dim=1).t())
        projected, logits = torch.split(product, [self.weight.shape[1], self.hyperedges.shape[1]], dim=1)
        return projected, logits


def _lengths(shares: Tensor, edges: Tensor) -> Tensor:
    """‖h y‖ of every row h of the shares (N, H), (N, 1): √(h y yᵀ hᵀ), in float64 as the squares may nearly cancel."""
    h, y = shares.double(), edges.double()
    squared = (matmul(h, matmul(y, y.t())) * h).sum(dim=1, keepdim=True)
    return squared.clamp_min(SMALLEST_NORM**2).sqrt().to(shares.dtype)


def _tables(names: tuple[str, ...], projected: tuple[Tensor, ...], rows: DistinctRows | None) -> Mapping[str, Tensor]:
    """Projected features by modality, of all items or of the batch's."""
    tables = dict(zip(names, projected, strict=True))
    if rows is None:
        return tables
    return LazyMapping({name: partial(table.index_select, 0, rows.items) for name, table in tables.items()})


def _gumbel_like(logits: Tensor) -> Tensor:
    return -torch.empty_like(logits).exponential_().log_()
