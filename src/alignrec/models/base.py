"""What every backbone is: settings, parameters, one forward pass to `Representations`, named loss terms."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from alignrec.errors import SettingsError
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, Representations, TrainData

__all__ = [
    "Backbone",
    "DistinctRows",
    "batch_rows",
    "check_neighbors",
    "numbered_among_all",
    "xavier_normal_table",
    "xavier_uniform_table",
]

C = TypeVar("C", bound=Settings)


class Backbone(nn.Module, ABC, Generic[C]):
    """A recommender whose score is a dot product of user and item embeddings.

    A backbone takes tensors and arrays, never files, devices or dictionaries of options. It is made by
    `cls(config, data, rng)`, and its initial parameters are drawn from `rng` alone. Its graphs are non-persistent
    buffers: derived from `data`, they move with the model but are not saved with it.
    """

    Config: ClassVar[type[Settings]]
    training_defaults: ClassVar[Mapping[str, Any]] = {}  # Any: values of training settings this model wants
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {}  # "model.KEY" or "training.KEY" -> what is searched
    needs_features: ClassVar[bool] = False

    config: C

    def __init__(self, config: C, data: TrainData) -> None:
        super().__init__()
        if self.needs_features and not data.features:
            raise SettingsError(
                f"model {type(self).__name__} needs item features and none are given; add --features NAME"
            )
        self.config = config
        self.n_users, self.n_items = data.n_users, data.n_items

    def start_epoch(self, rng: torch.Generator) -> None:
        """Do what an epoch begins with (drop edges, recluster), drawing only from `rng`. Default: nothing."""

    @abstractmethod
    def represent(self) -> Representations:
        """One forward pass over all users and items."""

    def represent_batch(self, batch: Batch) -> tuple[Representations, Batch]:
        """What a training step needs: representations that hold the batch's rows, and the batch in their numbering.

        Default: everything. A backbone overrides it where a part is cheaper; the losses must not change.
        """
        return self.represent(), batch

    @abstractmethod
    def losses(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms, already weighted: their sum is the model's loss on `batch`."""

    def split(self, nodes: Tensor) -> Embeddings:
        """Cut a table over all nodes (U + I, d) into users and items; the backward pass is one concatenation."""
        users, items = torch.split(nodes, [self.n_users, self.n_items])
        return Embeddings(users, items)


@dataclass(frozen=True)
class DistinctRows:
    """The distinct users and items of a batch, and the batch counted in them."""

    users: Tensor  # (u,) int64
    items: Tensor  # (i,) int64
    batch: Batch

    @classmethod
    def of(cls, batch: Batch) -> "DistinctRows":
        """Those of `batch`, in ascending order."""
        users, user_rows = _distinct(batch.users)
        items, item_rows = _distinct(torch.cat([batch.positives, batch.negatives]))
        positives, negatives = item_rows.chunk(2)
        return cls(users, items, Batch(user_rows, positives, negatives))

    def nodes(self, n_users: int) -> Tensor:
        """Numbers among all nodes, users before items, (u + i,)."""
        return torch.cat([self.users, self.items + n_users])

    def split(self, rows: Tensor) -> Embeddings:
        """Cut rows (u + i, d) in the order of `nodes` into users and items."""
        users, items = torch.split(rows, [len(self.users), len(self.items)])
        return Embeddings(users, items)


def _distinct(ids: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct numbers of `ids`, rising, and the place of each of `ids` among them."""
    if ids.device.type != "cpu":
        distinct, places = torch.unique(ids, return_inverse=True)
        return distinct, places
    found = np.unique(ids.numpy(), return_inverse=True)  # faster than torch's for so few
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def batch_rows(tables: Embeddings, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of the batch's users, positives and negatives, (B, d) each."""
    items = tables.items.index_select(0, torch.cat([batch.positives, batch.negatives]))
    positives, negatives = items.chunk(2)
    return tables.users.index_select(0, batch.users), positives, negatives


def numbered_among_all(reps: Representations, batch: Batch) -> Batch:
    """A batch counted in the rows of `reps`, counted in all users and items again."""
    users, items = reps.user_ids, reps.item_ids
    if users is None or items is None:
        return batch
    return Batch(users[batch.users], items[batch.positives], items[batch.negatives])


def check_neighbors(setting: str, k: int, candidates: int, kind: str) -> None:
    """Refuse to look for more neighbours than there are.

    Raises:
        SettingsError: `k`, which the model's `setting` asks for, is more than the `candidates` of this `kind`.
    """
    if k > candidates:
        raise SettingsError(
            f"setting 'model.{setting}' cannot be {k} with {candidates} {kind}; give at most {candidates}"
        )


def xavier_uniform_table(rows: int, size: int, rng: torch.Generator) -> Tensor:
    """A table (rows, size), uniform within ±sqrt(6 / (rows + size)) (Glorot and Bengio, 2010)."""
    return nn.init.xavier_uniform_(torch.empty(rows, size), generator=rng)


def xavier_normal_table(rows: int, size: int, rng: torch.Generator) -> Tensor:
    """A table (rows, size), normal with variance 2 / (rows + size) (Glorot and Bengio, 2010)."""
    return nn.init.xavier_normal_(torch.empty(rows, size), generator=rng)
