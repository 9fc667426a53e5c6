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

A step multiplies all features once, with W_m and V_m side by side, and the batch's rows with all nodes, in tiles.
"""

from itertools import combinations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import dropout, normalize

from alignrec.graphs import mean_interactions, normalized_adjacency
from alignrec.losses import bpr_loss, embedding_norm, info_nce_against
from alignrec.models.base import Backbone, batch_rows, xavier_uniform_table
from alignrec.ops import matmul, propagate, propagate_mean, spmm
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


class LGMRec(Backbone[LGMRecConfig]):
    """Local graphs of behaviour and content, and a global hypergraph."""

    Config = LGMRecConfig
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
        config, size = self.config, self.config.embedding_size
        behaviour = propagate_mean(self.adjacency, self.embedding, config.n_layers)
        items = torch.cat([part() for part in self.modalities], dim=1)  # (I, M (d + H))
        users = spmm(self.mean_of_items, items)
        cut = [size, config.n_hyperedges] * len(self.names)
        of_users, of_items = torch.split(users, cut, dim=1), torch.split(items, cut, dim=1)
        projected = dict(zip(self.names, of_items[::2], strict=True))
        content = self._content(of_users[::2], of_items[::2])
        hypergraphs = {
            f"hypergraph of {name}": self._hypergraph(self.items_per_user * mean_logits, logits, behaviour)
            for name, mean_logits, logits in zip(self.names, of_users[1::2], of_items[1::2], strict=True)
        }
        everything = torch.stack([torch.cat([g.users, g.items]) for g in hypergraphs.values()]).sum(dim=0)
        final = self.split(behaviour + content + config.global_weight * normalize(everything))
        views = {"behaviour": self.split(behaviour), "content": self.split(content)}
        return Representations(final, projected, views | hypergraphs)

    def _content(self, users: tuple[Tensor, ...], items: tuple[Tensor, ...]) -> Tensor:
        """Σ_m n(X_m) (U + I, d); one product propagates all modalities."""
        nodes = torch.cat([torch.cat(users, dim=1), torch.cat(items, dim=1)])  # (U + I, M d)
        reached = propagate(self.adjacency, nodes, self.config.n_content_layers)
        return torch.stack([normalize(x) for x in reached.chunk(len(items), dim=1)]).sum(dim=0)

    def _hypergraph(self, user_logits: Tensor, item_logits: Tensor, behaviour: Tensor) -> Embeddings:
        """G_m from the logits (U, H) and (I, H) of one modality."""
        of_items, of_users = self._memberships(item_logits), self._memberships(user_logits)
        users, items = self.split(behaviour).users, self.split(behaviour).items
        for _ in range(self.config.n_hypergraph_layers):
            edges = matmul(of_items.t(), items)  # (H, d)
            users, items = matmul(of_users, edges), matmul(of_items, edges)
        return Embeddings(users, items)

    def _memberships(self, logits: Tensor) -> Tensor:
        config = self.config
        if self.training and config.gumbel_noise:
            logits = logits + _gumbel_like(logits)
        shares = torch.softmax(logits / config.hyperedge_temperature, dim=1)
        return dropout(shares, config.hyperedge_dropout, self.training)

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr`, `norm`, and `contrastive` if there are several modalities and its weight is not zero."""
        config = self.config
        users, positives, negatives = batch_rows(reps.final, batch)  # (B, d) each
        terms = {
            "bpr": bpr_loss((users * positives).sum(1), (users * negatives).sum(1)),
            "norm": config.reg_weight * embedding_norm(users, positives, negatives),
        }
        if config.contrastive_weight and len(self.names) > 1:
            graphs = [reps.views[f"hypergraph of {name}"] for name in self.names]
            parts = [self._contrast(first, second, batch) for first, second in combinations(graphs, 2)]
            terms["contrastive"] = config.contrastive_weight * torch.stack(parts).sum()
        return terms

    def _contrast(self, first: Embeddings, second: Embeddings, batch: Batch) -> Tensor:
        def against(anchors: Tensor, candidates: Tensor, ids: Tensor) -> Tensor:
            return info_nce_against(anchors, ids, candidates, ids, self.config.temperature, "sum")

        return against(first.users, second.users, batch.users) + against(first.items, second.items, batch.positives)


class _Modality(nn.Module):
    """Fixed features F (I, D) with W (D, d) and V (D, H)."""

    table: Tensor

    def __init__(self, features: FloatMatrix, size: int, n_hyperedges: int, rng: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("table", torch.tensor(features), persistent=False)
        self.weight = nn.Parameter(xavier_uniform_table(features.shape[1], size, rng))
        self.hyperedges = nn.Parameter(xavier_uniform_table(features.shape[1], n_hyperedges, rng))

    def forward(self) -> Tensor:
        """[F W ‖ F V] (I, d + H)."""
        return matmul(self.table, torch.cat([self.weight, self.hyperedges], dim=1))


def _gumbel_like(logits: Tensor) -> Tensor:
    return -torch.empty_like(logits).exponential_().log_()
