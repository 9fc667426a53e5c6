"""Training triples of one epoch: every training interaction once, in random order, with one random negative each.

A negative is uniform over the items that occur in training, drawn again while the user has it in training
(the rule of the field's toolbox). An epoch's triples depend on its generator alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alignrec.errors import TrainingError
from alignrec.types import Interactions

__all__ = ["EpochSampler", "require_negatives"]

_BITMAP_BYTES = 1 << 27  # beyond this the membership test is a binary search


class EpochSampler:
    """Draws the triples of an epoch for the training interactions (U, I) in one vectorised call.

    Raises:
        TrainingError: there is no interaction, or a user has every item, so that no negative exists.
    """

    def __init__(self, interactions: Interactions) -> None:
        require_negatives(interactions)
        coo = interactions.tocoo()
        self.users = coo.row.astype(np.int64)  # (E,)
        self.positives = coo.col.astype(np.int64)  # (E,)
        self.candidates = np.unique(self.positives)  # items that occur in training
        self._n_items = int(interactions.shape[1])
        keys = self.users * self._n_items + self.positives
        cells = int(interactions.shape[0]) * self._n_items
        self._bitmap = _bitmap(keys, cells) if cells // 8 <= _BITMAP_BYTES else None
        self._keys = np.sort(keys) if self._bitmap is None else keys

    def __len__(self) -> int:
        return len(self.users)

    def epoch(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Users, positives and negatives of one epoch, each (E,), shuffled together."""
        order = rng.permutation(len(self.users))
        users, positives = self.users[order], self.positives[order]
        return users, positives, self.negatives(users, rng)

    def negatives(self, users: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """One negative per entry of `users`."""
        negatives = self.candidates[rng.integers(len(self.candidates), size=len(users))]
        redraw = np.flatnonzero(self._seen(users, negatives))
        while redraw.size:
            negatives[redraw] = self.candidates[rng.integers(len(self.candidates), size=len(redraw))]
            redraw = redraw[self._seen(users[redraw], negatives[redraw])]
        return negatives

    def _seen(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
        keys = users * self._n_items + items
        if self._bitmap is not None:
            bits = self._bitmap[keys >> 3] >> (keys & 7).astype(np.uint8)
            return np.asarray(bits & 1, dtype=np.bool_)
        position = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        found: NDArray[np.bool_] = self._keys[position] == keys
        return found


def _bitmap(keys: NDArray[np.int64], cells: int) -> NDArray[np.uint8]:
    bits = np.zeros(cells // 8 + 1, dtype=np.uint8)
    np.bitwise_or.at(bits, keys >> 3, np.left_shift(1, keys & 7).astype(np.uint8))
    return bits


def require_negatives(interactions: Interactions, user_ids: Sequence[str] | None = None) -> None:
    """Check that every user lacks an item which others have.

    Raises:
        TrainingError: there is no interaction, or a user has every item; it is named by `user_ids` if they are given.
    """
    if interactions.nnz == 0:
        raise TrainingError("there are no training interactions; check the split of the dataset")
    n_items = np.count_nonzero(np.bincount(interactions.indices))
    full = np.flatnonzero(np.diff(interactions.indptr) >= n_items)
    if full.size:
        number = int(full[0])
        who = f"user number {number}" if user_ids is None else f"user {user_ids[number]!r}"
        raise TrainingError(
            f"{who} has all {n_items} training items, so nothing is left to contrast with; "
            "remove such users (minimum rating, thinning)"
        )
