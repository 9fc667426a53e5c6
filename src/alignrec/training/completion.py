"""What plug-ins read and a backbone does not provide: projected features, and the two views.

A backbone that knows ids only has no vectors of an item's content. For plug-ins that compare with content, every
feature table gets a linear map to the width d of the scored vectors (xavier-uniform, bias 0; the features stay fixed)
that trains with the plug-ins. Where a view is missing, `behaviour` is what is scored; `content` is the mean over
modalities for items, and for users the mean of that over their training items.

What the backbone does provide is taken as it is, as long as its width fits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from alignrec.graphs import mean_interactions
from alignrec.losses import Needs
from alignrec.models.base import DistinctRows
from alignrec.models.lazy import LazyMapping
from alignrec.models.projection import FeatureProjection, linear
from alignrec.ops import SparseOperator, spmm
from alignrec.runtime import torch_rng
from alignrec.types import Batch, Embeddings, Representations, TrainData

__all__ = ["Completion", "Provided"]


@dataclass(frozen=True)
class Provided:
    """What a backbone's representations hold that plug-ins can use."""

    size: int
    """Width d of the scored vectors."""
    modalities: tuple[str, ...]
    """Modalities of `content`, in alphabetical order; none if a vector is not of width d."""
    views: bool
    """Whether there is a content view as wide as the behaviour view."""

    @classmethod
    def by(cls, reps: Representations) -> "Provided":
        """Look at one forward pass."""
        size = reps.final.items.shape[1]
        fitting = bool(reps.content) and all(reps.content[name].shape[1] == size for name in reps.content)
        behaviour = reps.views.get("behaviour", reps.final)
        views = "content" in reps.views and reps.views["content"].items.shape[1] == behaviour.items.shape[1]
        return cls(size, tuple(sorted(reps.content)) if fitting else (), views)


class Completion(nn.Module):
    """Adds to representations what `needs` asks for and `provided` lacks."""

    users_items: SparseOperator | None

    def __init__(self, needs: Needs, provided: Provided, data: TrainData, seed: int) -> None:
        super().__init__()
        self._builds_views = needs.views and not provided.views
        reads_content = needs.content or self._builds_views
        projects = reads_content and not provided.modalities
        names = tuple(sorted(data.features)) if projects else provided.modalities
        self.modalities = names if reads_content else ()
        # A list, since a module's name may not be any name that features may have.
        self.projections = nn.ModuleList(
            FeatureProjection(data.features[name], _linear(data, name, provided.size, seed), trainable=False)
            for name in (names if projects else ())
        )
        self.users_items = mean_interactions(data.interactions) if self._builds_views else None

    @property
    def needs_all_rows(self) -> bool:
        """Whether the backbone must represent everything: a user's mean runs over items outside of the batch."""
        return self._builds_views and not self.projections

    def forward(self, reps: Representations, batch: Batch) -> tuple[Representations, Batch]:
        """The completed representations, and the batch in their numbering.

        Features are projected for the batch's items alone, unless a user's mean needs them all.
        """
        if self.users_items is not None:
            return self._with_views(reps, self.users_items), batch
        if self.projections:
            reps, batch = _restricted(reps, batch)
            return replace(reps, content=self._projected(reps.item_ids)), batch
        return reps, batch

    def _with_views(self, reps: Representations, users_items: SparseOperator) -> Representations:
        content = self._projected(None) if self.projections else reps.content
        items = torch.stack([content[name] for name in self.modalities]).mean(0)  # (I, d)
        users = spmm(users_items, items, reps.user_ids)
        if reps.item_ids is not None:
            items = items.index_select(0, reps.item_ids)
            content = {name: table.index_select(0, reps.item_ids) for name, table in content.items()}
        behaviour = reps.views.get("behaviour", reps.final)
        if behaviour.items.shape[1] != items.shape[1]:
            behaviour = reps.final
        return replace(reps, content=content, views={"behaviour": behaviour, "content": Embeddings(users, items)})

    def _projected(self, rows: Tensor | None) -> Mapping[str, Tensor]:
        return {name: part(rows) for name, part in zip(self.modalities, self.projections, strict=True)}


def _restricted(reps: Representations, batch: Batch) -> tuple[Representations, Batch]:
    """Representations of all users and items cut down to those of the batch."""
    if reps.item_ids is not None:
        return reps, batch
    rows = DistinctRows.of(batch)

    def of(name: str) -> Callable[[], Embeddings]:
        return lambda: _rows_of(reps.views[name], rows)

    views = LazyMapping({name: of(name) for name in reps.views})
    final = _rows_of(reps.final, rows)
    return Representations(final, views=views, user_ids=rows.users, item_ids=rows.items), rows.batch


def _rows_of(tables: Embeddings, rows: DistinctRows) -> Embeddings:
    return Embeddings(tables.users.index_select(0, rows.users), tables.items.index_select(0, rows.items))


def _linear(data: TrainData, name: str, size: int, seed: int) -> nn.Linear:
    """A map from the features `name` to width `size`; which other features there are changes nothing in it."""
    layer = linear(data.features[name].shape[1], size, torch_rng(seed, "projection", name), "xavier_uniform")
    nn.init.zeros_(layer.bias)
    return layer
