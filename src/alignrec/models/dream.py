"""DREAM: a behaviour line and a modal line, for users and items alike (Zhang et al., arXiv 2404.11119).

With F_m the features of modality m for items, F_m^u their mean over a user's items, E = [E_u; E_i] id embeddings, Â the
normalised interaction graph, S_m and J_m the graphs of the k items and of the k users most similar by F_m and F_m^u
(the mean over the neighbours, oneself included):

    B   = (E + ÂE + … + Â^L E) / (L + 1)                                        behaviour line    (Eqs. 1-3)
    M_m^i = S_m^l [σ(F_m W_m + b_m) ⊙ E_i],  M_m^u = J_m^l [σ(F_m^u W_m + b_m) ⊙ E_u]   modal line    (Eqs. 4-6)
    M   = Σ_m α_m M_m,  h = B + M,  score(u, i) = h_u · h_i                                       (Eqs. 7, 12)

    L = BPR(h) + l2_weight · ½ Σ‖h‖² / B                                                            (Eq. 13)
      + intra_weight · [NCE(B_u, B_i) + NCE(M_u, M_i)]                                         (Eqs. 9, 10)
      + inter_weight · [NCE(B_u, M_u) + NCE(B_i, M_i)]                                             (Eq. 11)
      + s3_weight · Σ over {users, items} ‖Z Zᵀ − sg T‖_F / B,  T = Σ_m α_m C(F_m), Z = M of the batch    (Eq. 8)

Its code was never published. What the paper leaves open is settled as in AlignRec, of the same group, and MGCN, on
which it builds, and is a setting where it may matter: the target T adds similarity matrices, as features of different
lengths cannot be added; the norm is taken over the batch's matrix of dot products; losses are means over the batch;
contrasts scale their vectors to length 1. Features are trained (the paper speaks of learnable modal embeddings) while
the graphs and T stay as they were. The features of users are not parameters: with W_m linear, F_m^u W_m is the mean of
the items' F_m W_m, so no table of users by features exists while training, and S3 makes its rows for the users of a
batch. A row of zeros in one modality (an item without a picture, a user without items) has no neighbours there and
adds nothing to T: its similarities are those of the others, times their α_m.

The user graph is built once, a block of cosines at a time: U² D / 2 multiply-adds, and 4 U D bytes for the means, which
are scaled in place (192,403 users with 4,096 features: 3.2 GB beside the features and their trained copy, and half an
hour on one core). A step multiplies the features of all items, since the graphs mix them, and once more the initial
ones where these make the users' gates.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from alignrec.graphs import knn_operator, mean_interactions, normalized_adjacency
from alignrec.losses import behaviour_modal_alignment, bpr_loss_rows, similarity_regularizer_rows, squared_norm_rows
from alignrec.models.base import Backbone, DistinctRows, check_neighbors, xavier_uniform_table
from alignrec.models.lazy import LazyMapping
from alignrec.models.projection import FeatureProjection, FeatureProjections, modality_shares
from alignrec.ops import SparseOperator, project, propagate, propagate_mean, propagate_mean_rows, spmm
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, FloatMatrix, Representations, TrainData

__all__ = ["DREAM", "DREAMConfig"]


class DREAMConfig(Settings):
    """Settings of DREAM; α, β and γ of the paper are `intra_weight`, `inter_weight` and `s3_weight`."""

    embedding_size: int = Field(default=64, ge=1)
    """Length of a user's and an item's vector."""
    n_layers: int = Field(default=2, ge=0)
    """Propagation steps L of the behaviour line."""
    n_content_layers: int = Field(default=1, ge=0)
    """Propagation steps l over the item and user graphs of the modal line; 0 leaves the graphs out."""
    n_neighbors: int = Field(default=10, ge=1)
    """Items kept per item in an item graph, the item itself among them (not stated in the paper)."""
    n_user_neighbors: int = Field(default=20, ge=1)
    """Users kept per user in a user graph, the user among them (not stated in the paper; 10 is worth a try)."""
    modality_weights: Mapping[str, float] | None = None
    """Weight α_m of each modality, scaled to sum to 1; by default all weigh the same. The published runs chose 0.3 for
    the image and 0.7 for the text."""
    filter_gate: bool = True
    """Whether features gate ids; without it the projected features themselves go through the graphs."""
    gate_input: Literal["ego", "propagated"] = "ego"
    """What is gated: the ids' own embeddings (Eq. 4) or those of the behaviour line (the text around it)."""
    intra_weight: float = Field(default=0.01, ge=0)
    """α: alignment of users with items inside each line; 0.01 or 0.03 in the published runs, 0 leaves it out."""
    inter_weight: float = Field(default=0.01, ge=0)
    """β: alignment of the two lines; 0.01 or 0.03 in the published runs, 0 leaves it out."""
    temperature: float = Field(default=0.2, gt=0)
    """τ of both alignments."""
    s3_weight: float = Field(default=0.1, ge=0)
    """γ: the modal line keeps the similarities of the features; 0.1 or 0.5 in the published runs, 0 leaves it out."""
    s3_form: Literal["rms", "mse"] = "rms"
    """`rms` is the norm of Eq. 8 over B, the root of the mean square; `mse` the mean square of Fig. 5."""
    l2_weight: float = Field(default=1e-4, ge=0)
    """λ: weight of ½ Σ‖h‖² / B over the batch's scored rows."""
    l2_batch_size: int | None = Field(default=None, ge=1)
    """B of that term; by default the rows in the batch."""
    trainable_features: bool = True
    """Whether the items' features are fine-tuned; graphs and similarity targets stay as they were built."""
    user_features: Literal["fixed", "trained"] = "fixed"
    """Whether users' features are means of the items' initial features or of the fine-tuned ones."""


class DREAM(Backbone[DREAMConfig]):
    """Two lines, aligned, and kept near the features."""

    Config = DREAMConfig
    # the paper also searches the image's part in modality_weights, whose keys are the names of one's features
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model.intra_weight": (0.01, 0.03),
        "model.inter_weight": (0.01, 0.03),
        "model.s3_weight": (0.1, 0.5),
    }
    needs_features = True

    def __init__(self, config: DREAMConfig, data: TrainData, rng: torch.Generator) -> None:
        super().__init__(config, data)
        if config.n_content_layers:
            check_neighbors("n_neighbors", config.n_neighbors, self.n_items, "items")
            check_neighbors("n_user_neighbors", config.n_user_neighbors, self.n_users, "users")
        size = config.embedding_size
        users = xavier_uniform_table(self.n_users, size, rng)
        items = xavier_uniform_table(self.n_items, size, rng)
        self.embedding = nn.Parameter(torch.cat([users, items]))  # (U + I, d)
        self.projections = FeatureProjections(data.features, size, rng, trainable=config.trainable_features)
        self.shares = tuple(modality_shares(config.modality_weights, self.projections.names).values())
        self.adjacency = normalized_adjacency(data.interactions)
        self.mean_of_items = mean_interactions(data.interactions)
        self.item_graphs, self.user_graphs = nn.ModuleList(), nn.ModuleList()
        for number, table in enumerate(data.features.values()):
            if config.n_content_layers:
                self.item_graphs.append(knn_operator(table, config.n_neighbors, "binary"))
                self.user_graphs.append(self._user_graph(table))
            if config.trainable_features:  # shares the data's memory: nothing writes into it
                self.register_buffer(f"initial_{number}", torch.from_numpy(table), persistent=False)

    def _user_graph(self, table: FloatMatrix) -> SparseOperator:
        means = spmm(self.mean_of_items, torch.from_numpy(table)).numpy()  # (U, D), used up
        return knn_operator(means, self.config.n_user_neighbors, "binary", overwrite=True)

    def represent(self) -> Representations:
        """Both lines over all nodes, and their sum."""
        behaviour = self.split(propagate_mean(self.adjacency, self.embedding, self.config.n_layers))
        source = behaviour if self.config.gate_input == "propagated" else self.split(self.embedding)
        projected, content = self._modal_line(source)
        return _fused(behaviour, content, projected)

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """The same for the batch's users and items; what the graphs mix is computed for all."""
        rows, n_layers = DistinctRows.of(batch), self.config.n_layers
        nodes = rows.nodes(self.n_users)
        if self.config.gate_input == "propagated":
            every = propagate_mean(self.adjacency, self.embedding, n_layers)
            source, mean = self.split(every), every.index_select(0, nodes)
        else:
            source = self.split(self.embedding)
            _, mean = propagate_mean_rows(self.adjacency, self.embedding, n_layers, nodes)
        projected, content = self._modal_line(source, rows)
        some = LazyMapping({name: partial(x.index_select, 0, rows.items) for name, x in projected.items()})
        return replace(_fused(rows.split(mean), content, some), user_ids=rows.users, item_ids=rows.items), rows.batch

    def _modal_line(self, source: Embeddings, rows: DistinctRows | None = None) -> tuple[dict[str, Tensor], Embeddings]:
        """Projected features (I, d) by modality, and M for all nodes or for `rows`."""
        user_rows, item_rows = (None, None) if rows is None else (rows.users, rows.items)
        of_users, of_items = self._projected()
        users = [
            share * self._filtered(x, source.users, graph, user_rows)
            for share, x, graph in zip(self.shares, of_users, self._graphs(self.user_graphs), strict=True)
        ]
        items = [
            share * self._filtered(x, source.items, graph, item_rows)
            for share, x, graph in zip(self.shares, of_items, self._graphs(self.item_graphs), strict=True)
        ]
        projected = dict(zip(self.projections.names, of_items, strict=True))
        return projected, Embeddings(torch.stack(users).sum(dim=0), torch.stack(items).sum(dim=0))

    def _projected(self) -> tuple[list[Tensor], list[Tensor]]:
        """F_m^u W_m + b_m (U, d) and F_m W_m + b_m (I, d) of each modality: projecting a mean is projecting first."""
        parts = self._parts()
        items = of_users = [part.product() for part in parts]
        if self.config.trainable_features and self.config.user_features == "fixed":
            tables = zip(self._initial(), parts, strict=True)
            of_users = [project(table, part.linear.weight) for table, part in tables]
        users = spmm(self.mean_of_items, torch.cat(of_users, dim=1)).chunk(len(parts), dim=1)
        return (
            [x + part.linear.bias for x, part in zip(users, parts, strict=True)],
            [x + part.linear.bias for x, part in zip(items, parts, strict=True)],
        )

    def _filtered(self, x: Tensor, ids: Tensor, graph: SparseOperator | None, rows: Tensor | None) -> Tensor:
        """Ids gated by projected features, after the graph."""
        gated = torch.sigmoid(x) * ids if self.config.filter_gate else x
        if graph is None:
            return gated if rows is None else gated.index_select(0, rows)
        return propagate(graph, gated, self.config.n_content_layers, rows)

    def _parts(self) -> list[FeatureProjection]:
        return list(cast(Iterable[FeatureProjection], self.projections.of))

    def _graphs(self, graphs: nn.ModuleList) -> list[SparseOperator | None]:
        return list(cast(Iterable[SparseOperator], graphs)) or [None] * len(self.shares)

    def _initial(self) -> list[Tensor]:
        """F_m as they came, (I, D_m)."""
        if self.config.trainable_features:
            return [self.get_buffer(f"initial_{number}") for number in range(len(self.shares))]
        return [part.table for part in self._parts()]

    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`bpr`, `l2`, and those of `intra`, `inter` and `s3` whose weight is not zero."""
        config, behaviour, content = self.config, reps.views["behaviour"], reps.views["content"]
        rows = config.l2_batch_size or len(batch)
        terms = {
            "bpr": bpr_loss_rows(reps.final, batch),
            "l2": config.l2_weight * squared_norm_rows(reps.final, batch, batch_size=rows),
        }
        terms |= behaviour_modal_alignment(
            behaviour, content, batch, config.intra_weight, config.inter_weight, config.temperature
        )
        if config.s3_weight:
            by_user = self._s3(content.users, batch.users, reps.user_ids, self._user_target)
            by_item = self._s3(content.items, batch.positives, reps.item_ids, self._item_target)
            terms["s3"] = config.s3_weight * (by_user + by_item)
        return terms

    def _s3(self, table: Tensor, ids: Tensor, numbers: Tensor | None, target_of: Callable[[Tensor], Tensor]) -> Tensor:
        """How far the similarities of the rows `ids` of `table` are from those of their features."""
        distinct, rows = torch.unique(ids, return_inverse=True)
        with torch.no_grad():
            target = target_of(distinct if numbers is None else numbers.index_select(0, distinct))
        rms = similarity_regularizer_rows(table.index_select(0, distinct), target, rows, are_units=True)
        return rms if self.config.s3_form == "rms" else rms.square()

    def _item_target(self, items: Tensor) -> Tensor:
        return self._joined([table.index_select(0, items) for table in self._initial()])

    def _user_target(self, users: Tensor) -> Tensor:
        return self._joined([spmm(self.mean_of_items, table, users) for table in self._initial()])

    def _joined(self, tables: list[Tensor]) -> Tensor:
        """Rows whose dot products are Σ_m α_m C(F_m): unit rows times √α_m, side by side."""
        blocks = [share**0.5 * normalize(table) for share, table in zip(self.shares, tables, strict=True) if share]
        return torch.cat(blocks, dim=1)


def _fused(behaviour: Embeddings, content: Embeddings, projected: Mapping[str, Tensor]) -> Representations:
    final = Embeddings(behaviour.users + content.users, behaviour.items + content.items)
    return Representations(final, projected, {"behaviour": behaviour, "content": content})
