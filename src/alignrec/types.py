"""The values that travel between packages. U users, I items, d embedding size, B batch, k list length."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

__all__ = ["Batch", "Embeddings", "FloatMatrix", "Interactions", "Ranking", "Representations", "TrainData"]

FloatMatrix = NDArray[np.float32]
Interactions = sparse.csr_array  # (U, I), sorted indices, no duplicates; the stored values are 1


@dataclass(frozen=True)
class Embeddings:
    """One vector per user and per item; the score of a pair is their dot product."""

    users: Tensor  # (U, d)
    items: Tensor  # (I, d)

    def detach(self) -> "Embeddings":
        """The same values without a gradient history."""
        return Embeddings(self.users.detach(), self.items.detach())


@dataclass(frozen=True)
class Representations:
    """Everything a backbone knows after one forward pass.

    `final` is what is scored. `content` maps a modality to its projected item vectors (I, d).
    `views` maps a name ("behaviour", "content") to a pair of tables that alignments may compare.

    Where only a batch is needed a backbone may represent just its users and items; then `user_ids` and `item_ids`
    say which rows of the whole these are, in all tables alike, and the batch that comes along counts in them.
    """

    final: Embeddings
    content: Mapping[str, Tensor] = field(default_factory=dict)
    views: Mapping[str, Embeddings] = field(default_factory=dict)
    user_ids: Tensor | None = None  # (rows of the users' tables,) int64; None: all users
    item_ids: Tensor | None = None  # (rows of the items' tables,) int64; None: all items


@dataclass(frozen=True)
class Batch:
    """B training triples; row b says that `users[b]` took `positives[b]` and not `negatives[b]`."""

    users: Tensor  # (B,) int64
    positives: Tensor  # (B,) int64
    negatives: Tensor  # (B,) int64

    def __len__(self) -> int:
        return int(self.users.numel())

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        return Batch(self.users.to(device), self.positives.to(device), self.negatives.to(device))


@dataclass(frozen=True)
class Ranking:
    """The k best items of each user, best first; equal scores are ordered by item index.

    Where a user has fewer than k candidates the rest of the row is item -1 with score -inf.
    """

    items: Tensor  # (U, k) int64
    scores: Tensor  # (U, k) float32

    @property
    def k(self) -> int:
        """Length of the lists."""
        return int(self.items.shape[1])


@dataclass(frozen=True)
class TrainData:
    """What a model may see: the training interactions and item features. No other split is in it."""

    interactions: Interactions  # (U, I)
    features: Mapping[str, FloatMatrix] = field(default_factory=dict)  # modality -> (I, d_m), row i = item i

    @property
    def n_users(self) -> int:
        """U."""
        return int(self.interactions.shape[0])

    @property
    def n_items(self) -> int:
        """I."""
        return int(self.interactions.shape[1])
