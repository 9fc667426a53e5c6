"""The k best of a tile of scores, exactly, for NumPy: block maxima, a threshold, and sortable keys.

A score and its item are packed into one integer, the score above, the item below and counted backwards. Sorting keys
then *is* the rule of the project: higher score first, equal scores by the lowest item index. No key occurs twice, so
no tie is ever left to a library's whim, at the border of the list neither.

Most scores never become keys. The k-th largest maximum over blocks of 32 scores is a lower bound for the k-th largest
score; only blocks that reach it are visited and only scores that reach it are packed (about k + k/8 of them).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["BLOCK", "EMPTY", "TileSelector", "pack", "unpack"]

BLOCK = 32  # scores per block: 64 makes the maxima cheaper and the visit dearer, 16 the other way round
_SHIFT = BLOCK.bit_length() - 1
EMPTY = np.iinfo(np.int64).min  # sorts below every key
_LOW = 0x7FFFFFFF  # the lower half of a key: 31 bits for the item
_MINUS_INFINITY = -0x7F800001  # the upper half of the key of a score of -inf
_LOWEST = np.finfo(np.float32).min


def pack(scores: NDArray[np.float32], items: NDArray[np.int64]) -> NDArray[np.int64]:
    """One integer a pair, ordered by score and then by falling item index; 0.0 and -0.0 are equal scores."""
    bits = (scores + np.float32(0.0)).view(np.int32)
    bits ^= (bits >> 31) & _LOW  # negative floats grow in the other direction as integers
    keys = bits.astype(np.int64)
    keys <<= 32
    keys |= _LOW - items
    return keys


def unpack(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Items and scores of `keys`; -1 and -inf where there was nothing or a score of -inf."""
    bits = (keys >> 32).astype(np.int32)
    empty = bits <= _MINUS_INFINITY
    bits ^= (bits >> 31) & _LOW
    items = _LOW - (keys & _LOW)
    scores = bits.view(np.float32)
    items[empty] = -1
    scores[empty] = -np.inf
    return items, scores


class TileSelector:
    """The search for the k best of each row of a tile of `rows` x `width` scores; -inf means masked.

    A tile is `stride` wide, the width rounded up to whole blocks; what stands in the rest does not count.
    """

    def __init__(self, rows: int, width: int, k: int) -> None:
        self.k = k
        self.width = width
        self.n_blocks = -(-width // BLOCK)
        self.stride = self.n_blocks * BLOCK
        self._maxima = torch.empty(rows, self.n_blocks)
        self._visited = np.empty((rows * min(k, self.n_blocks), BLOCK), dtype=np.float32)

    def best(self, tile: Tensor, n: int, first_item: int, found: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """The k best keys (n, k) of the first n rows of `tile` (rows, stride), best first.

        Column c of the tile is item `first_item` + c; `found` holds the best keys (n, k) of the items before that,
        if there were any.
        """
        tile[:, self.width :] = -torch.inf
        threshold = self._threshold(tile, n)
        if found is not None:
            threshold = np.maximum(threshold, unpack(found[:, -1])[1])
        np.maximum(threshold, _LOWEST, out=threshold)  # masked scores are no candidates
        rows, columns, scores = self._candidates(tile, n, threshold)
        keys = _one_row_each(n, rows, pack(scores, columns + first_item), self.k)
        if found is not None:
            keys = np.concatenate([keys, found], axis=1)
        keys.sort(axis=1)
        return keys[:, : -self.k - 1 : -1]

    def _threshold(self, tile: Tensor, n: int) -> NDArray[np.float32]:
        """A lower bound (n,) of the k-th best score of each row."""
        torch.amax(tile.view(-1, self.n_blocks, BLOCK), 2, out=self._maxima)
        if self.n_blocks >= self.k:
            pool = self._maxima.numpy()[:n]
        elif self.stride > self.k:
            pool = tile.numpy()[:n]
        else:
            return np.full(n, _LOWEST)
        place = pool.shape[1] - self.k
        bound: NDArray[np.float32] = np.partition(pool, place, axis=1)[:, place].copy()
        return bound

    def _candidates(
        self, tile: Tensor, n: int, threshold: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Row, column and score of every score that reaches its row's threshold, row by row."""
        blocks = np.flatnonzero(self._maxima.numpy()[:n] >= threshold[:, None])
        rows = blocks // self.n_blocks
        buffer = self._visited[: len(blocks)] if len(blocks) <= len(self._visited) else None  # ties can ask for more
        visited = tile.view(-1, BLOCK).numpy().take(blocks, axis=0, out=buffer, mode="clip")
        places = np.flatnonzero(visited >= threshold.take(rows)[:, None])
        owners = places >> _SHIFT
        columns = ((blocks - rows * self.n_blocks) << _SHIFT).take(owners) + (places & (BLOCK - 1))
        return rows.take(owners), columns, visited.reshape(-1).take(places)


def _one_row_each(n: int, rows: NDArray[np.int64], keys: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Keys sorted by row, laid out as an (n, >= k) matrix that is filled up with `EMPTY`."""
    counts = np.bincount(rows, minlength=n)
    width = max(k, int(counts.max(initial=0)))
    matrix = np.full(n * width, EMPTY)
    shift = np.arange(n) * width - (np.cumsum(counts) - counts)
    matrix[np.arange(len(rows)) + shift.take(rows)] = keys
    return matrix.reshape(n, width)
