"""MMGCN: one graph network per modality, tied together by id embeddings (Wei et al., ACM MM 2019).

With F_m the features of modality m, P_m a table of the users' preferences as wide, E id embeddings of all nodes,
n(·) unit rows and M(x) the mean over a node's neighbours, per modality, from x⁰ = n([P_m; F_m]),

    h = φ(M(x W)),  x̂ = φ(V x + b) + E,  x ← φ(G h + c + x̂)      L times, φ = leaky ReLU
    or, by concatenation,                 x ← φ(G [h ‖ x̂] + c)
    final = mean of x over the modalities;  score(u, i) = final_u · final_i

    L = −mean log σ(s_ui − s_uj) + reg_weight · [ ½ mean(2 e_u² + e_i² + e_j²) + Σ_m mean P_m² ]

Features longer than `max_raw_size` are first projected to `latent_size`; shorter ones enter as they are. In the code
that gave the published numbers this is said by hand: 256 for images, nothing for texts.

That code also keeps E and P_m as plain tensors, so that they stay random for ever and their regulariser is a constant;
a switch meant to be off is a non-empty string and therefore on, and concatenates; and only the first (visual) P_m is in
the regulariser. Here E and P_m are trained, x is a sum and all P_m are regularised; `official` brings the code's
behaviour back. Its evaluation reads the output of the last training step; ours is always of the present weights.

A step costs one dense product of all nodes as wide as the features that enter, per modality, for the first layer; the
last layer is computed for the batch's nodes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, normalize

from alignrec.graphs import mean_adjacency
from alignrec.losses import bpr_loss
from alignrec.models.base import Backbone, DistinctRows, batch_rows, xavier_normal_table
from alignrec.models.projection import FeatureProjection, Init, affine, linear
from alignrec.ops import SparseOperator, matmul, spmm
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, FloatMatrix, Representations, TrainData

__all__ = ["MMGCN", "MMGCNConfig"]


class MMGCNConfig(Settings):
    """Settings of MMGCN."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=3, ge=1)
    """Number L of layers per modality; the published runs have 3 whatever their settings say."""
    max_raw_size: int = Field(default=512, ge=0)
    """Features up to this length enter the graph as they are; longer ones are projected first."""
    latent_size: int = Field(default=256, ge=1)
    """What longer features are projected to."""
    combination: Literal["sum", "concatenation"] = "sum"
    """How a layer joins what neighbours say with the node itself."""
    reg_weight: float = Field(default=1e-3, ge=0)
    """Weight of the mean squares; the published runs chose among 0 and 1e-5 to 0.1."""
    official: bool = False
    """Do as the code behind the published numbers: id and preference tables stay random, only the first modality's
    preferences are regularised, and layers concatenate whatever `combination` says."""


class MMGCN(Backbone[MMGCNConfig]):
    """Non-linear propagation of each modality's features and preferences."""

    Config = MMGCNConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.reg_weight": (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.1),
        "training.lr": (1e-4, 5e-4, 1e-3, 5e-3, 1e-2),
    }
    needs_features = True

    def __init__(self, config: MMGCNConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        ids = xavier_normal_table(self.n_users + self.n_items, config.embedding_size, rng)
        self.embedding = nn.Parameter(ids, requires_grad=not config.official)  # (U + I, d)
        self.names = tuple(data.features)
        self.networks = nn.ModuleList(
            _Network(config, self.n_users, features, rng) for features in data.features.values()
        )
        self.adjacency = mean_adjacency(data.interactions)

    def represent(self) -> Representations:
        """All users and items, and the item vectors of each modality."""
        return self._representations(None)

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same, the last layer for the batch's nodes alone."""
        rows = DistinctRows.of(batch)
        return self._representations(rows), rows.batch

    def _representations(self, rows: DistinctRows | None) -> Representations:
        nodes = None if rows is None else rows.nodes(self.n_users)
        split = self.split if rows is None else rows.split
        own = [split(network(self.adjacency, self.embedding, nodes)) for network in self.networks]
        users, items = torch.stack([x.users for x in own]), torch.stack([x.items for x in own])
        final = Embeddings(users.mean(0), items.mean(0))
        ids = split(self.embedding if nodes is None else self.embedding.index_select(0, nodes))
        return Representations(
            final,
            {name: x.items for name, x in zip(self.names, own, strict=True)},
            {"behaviour": ids, "content": final},
            None if rows is None else rows.users,
            None if rows is None else rows.items,
        )

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr`, and `mean_square` of the ids in the batch and of the preferences."""
        users, positives, negatives = batch_rows(reps.final, batch)  # (B, d) each
        own, taken, other = (rows.square().mean() for rows in batch_rows(reps.views["behaviour"], batch))
        preferences = [net.preference.square().mean() for net in cast(Iterable[_Network], self.networks)]
        regularised = preferences[:1] if self.config.official else preferences
        return {
            "bpr": bpr_loss((users * positives).sum(1), (users * negatives).sum(1)),
            "mean_square": self.config.reg_weight * torch.stack([own, taken / 2, other / 2, *regularised]).sum(),
        }


class _Network(nn.Module):
    """The layers of one modality, with its features and the users' preferences."""

    table: Tensor  # (I, D) unit rows of features that are not projected

    def __init__(self, config: MMGCNConfig, n_users: int, features: FloatMatrix, rng: torch.Generator) -> None:
        super().__init__()
        width = features.shape[1]
        self.content: FeatureProjection | None = None
        if width > config.max_raw_size:
            layer = linear(width, config.latent_size, rng)
            self.content = FeatureProjection(features, layer, trainable=False)
            width = config.latent_size
        else:
            self.register_buffer("table", normalize(torch.tensor(features)), persistent=False)
        self.preference = nn.Parameter(xavier_normal_table(n_users, width, rng), requires_grad=not config.official)
        widths = [width] + [config.embedding_size] * (config.n_layers - 1)
        later: list[Init] = ["uniform"] * (config.n_layers - 1)
        inits: list[Init] = ["xavier_normal", *later]
        self.layers = nn.ModuleList(_Layer(config, *shape, rng) for shape in zip(widths, inits, strict=True))

    def forward(self, adjacency: SparseOperator, ids: Tensor, nodes: Tensor | None) -> Tensor:
        """Output of the last layer, of all nodes (U + I, d) or of `nodes` (n, d)."""
        items = self.table if self.content is None else normalize(self.content())
        x = torch.cat([normalize(self.preference), items])
        for layer in self.layers[:-1]:
            x = layer(adjacency, x, ids, None)
        result: Tensor = self.layers[-1](adjacency, x, ids, nodes)
        return result


class _Layer(nn.Module):
    def __init__(self, config: MMGCNConfig, width: int, init: Init, rng: torch.Generator) -> None:
        super().__init__()
        size = config.embedding_size
        self.concatenates = config.official or config.combination == "concatenation"
        self.message = nn.Parameter(xavier_normal_table(width, width, rng))
        self.own = linear(width, size, rng, "xavier_normal")
        self.merge = linear(width + size * self.concatenates, size, rng, init)

    def forward(self, adjacency: SparseOperator, x: Tensor, ids: Tensor, nodes: Tensor | None) -> Tensor:
        h = leaky_relu(spmm(adjacency, matmul(x, self.message), nodes))
        if nodes is not None:
            x, ids = x.index_select(0, nodes), ids.index_select(0, nodes)
        kept = leaky_relu(affine(self.own, x)) + ids
        if self.concatenates:
            return leaky_relu(affine(self.merge, torch.cat([h, kept], dim=1)))
        return leaky_relu(affine(self.merge, h) + kept)
