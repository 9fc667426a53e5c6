"""The k best items of every user: the only top-k in the project.

Exact, ties by the lowest item index, the same answer for every tile size and for a user ranked alone or among all.
Memory is one tile of scores plus the answer; the users x items matrix never exists. On the CPU a tile is 96 users by as
many items as fit `tile_bytes`: always 96 rows, because a product of one row runs through another kernel and may round
otherwise. On other devices tiles are larger, since launching small ones costs more than the work in them.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from torch import Tensor

from alignrec.errors import TrainingError, UsageError
from alignrec.ops.matmul import matmul, uses_onednn
from alignrec.ranking.selection import BLOCK, EMPTY, TileSelector, unpack
from alignrec.types import Interactions, Ranking

__all__ = ["top_k", "top_k_similar"]

_ROWS = 96
_CPU_TILE = 3 << 20  # bytes: a tile that stays in the caches between the product and the search
_DEVICE_TILE = 256 << 20
_LIMIT = torch.finfo(torch.float32).max  # of a score


@torch.no_grad()
def top_k(
    users: Tensor,
    items: Tensor,
    k: int,
    *,
    exclude: Interactions | None = None,
    rows: ArrayLike | None = None,
    tile_bytes: int | None = None,
) -> Ranking:
    """The k items with the largest dot product for each user; row r of the answer is user r, or `rows[r]`.

    Args:
        users: (U, d) vectors.
        items: (I, d) vectors on the same device.
        k: length of the lists; where a user has fewer candidates the rest is item -1 with score -inf.
        exclude: (U, I) pairs that must not be recommended, such as the training interactions.
        rows: indices of the users to rank; all of them by default.
        tile_bytes: size of one tile of scores; changes speed and memory, on the CPU never the answer (elsewhere a
            product of another shape may round its last digit differently).

    Returns:
        items (R, k) int64 and scores (R, k) float32, on the device of `users`.

    Raises:
        UsageError: shapes that do not fit, k below 1, an index that does not exist.
        TrainingError: an embedding that is not finite, or too large for its scores to be.
    """
    chosen = _check(users, items, k, exclude, rows)
    _check_finite(users, items)
    excluded = exclude if exclude is None or chosen is None else exclude[chosen]
    queries = (users if chosen is None else users[torch.from_numpy(chosen).to(users.device)]).float()
    if users.device.type == "cpu":
        return _rank_numpy(queries, items.float(), k, excluded, tile_bytes or _CPU_TILE)
    return _rank_torch(queries, items.float(), k, excluded, tile_bytes or _DEVICE_TILE)


def top_k_similar(items: Tensor, k: int, *, rows: ArrayLike | None = None, tile_bytes: int | None = None) -> Ranking:
    """The k items nearest to each item by cosine, itself excluded; row r is item r, or `rows[r]`.

    An item whose vector is zero has cosine 0 with every other.

    Raises:
        UsageError, TrainingError: as `top_k`.
    """
    unit = torch.nn.functional.normalize(items.detach().float(), dim=1, eps=1e-12)
    itself = sparse.csr_array(sparse.eye_array(len(items), dtype=np.float32))
    return top_k(unit, unit, k, exclude=itself, rows=rows, tile_bytes=tile_bytes)


def _check(
    users: Tensor, items: Tensor, k: int, exclude: Interactions | None, rows: ArrayLike | None
) -> NDArray[np.int64] | None:
    if users.ndim != 2 or items.ndim != 2 or users.shape[1] != items.shape[1]:
        raise UsageError(
            f"users {tuple(users.shape)} and items {tuple(items.shape)} must be matrices of equal width (U, d), (I, d)"
        )
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}")
    if exclude is not None and exclude.shape != (len(users), len(items)):
        raise UsageError(f"exclude has shape {exclude.shape}; it must be (users, items) = {(len(users), len(items))}")
    if rows is None:
        return None
    chosen = np.asarray(rows, dtype=np.int64).reshape(-1)
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(users):
        raise UsageError(f"row {chosen.min()} or {chosen.max()} does not exist; rows go from 0 to {len(users) - 1}")
    return chosen


def _check_finite(users: Tensor, items: Tensor) -> None:
    largest = [_largest(table) for table in (users, items)]
    if users.shape[1] * largest[0] * largest[1] <= _LIMIT:  # the usual case, told by one look at each number
        return
    longest = [0.0, 0.0]
    for place, (name, table) in enumerate((("user", users), ("item", items))):
        if not bool(torch.isfinite(table).all()):
            bad = int((~torch.isfinite(table).all(1)).nonzero()[0])
            raise TrainingError(f"the embedding of {name} number {bad} is not finite; train again with a lower lr")
        if len(table):
            longest[place] = float(torch.linalg.vector_norm(table, dim=1, dtype=torch.float64).max())
    if longest[0] * longest[1] > _LIMIT:  # Cauchy-Schwarz: below it no score can overflow
        raise TrainingError(
            f"embeddings of length {longest[0]:.3g} and {longest[1]:.3g} are too large to score; train with a lower lr"
        )


def _largest(table: Tensor) -> float:
    """The largest absolute value; NaN where there is one."""
    if not table.numel():
        return 0.0
    lowest, highest = table.aminmax()
    return float(torch.maximum(lowest.abs(), highest.abs()))


def _rank_numpy(queries: Tensor, items: Tensor, k: int, exclude: Interactions | None, tile_bytes: int) -> Ranking:
    n_users = len(queries)
    tiles = _column_tiles(len(items), tile_bytes // (4 * _ROWS))
    selectors = {width: TileSelector(_ROWS, width, k) for width in {stop - start for start, stop in tiles}}
    masks = [_Mask(exclude, start, stop, selectors[stop - start].stride) for start, stop in tiles]
    product = _Product(items, max((selector.stride for selector in selectors.values()), default=0))
    best = np.full((n_users, k), EMPTY)
    for first in range(0, n_users, _ROWS):
        n = min(_ROWS, n_users - first)
        block = torch.nn.functional.pad(queries[first : first + n], (0, 0, 0, _ROWS - n))
        keys: NDArray[np.int64] | None = None
        for (start, stop), mask in zip(tiles, masks, strict=True):
            selector = selectors[stop - start]
            tile = product(block, start, start + selector.stride)
            tile.view(-1).numpy()[mask.places(first, first + n)] = -np.inf
            keys = selector.best(tile, n, start, keys)
        if keys is not None:
            best[first : first + n] = keys
    found, scores = unpack(best)
    return Ranking(torch.from_numpy(found), torch.from_numpy(scores))


class _Product:
    """Scores of a block of users for a span of items, through the library that is fast here."""

    def __init__(self, items: Tensor, widest: int) -> None:
        whole = torch.nn.functional.pad(items, (0, 0, 0, -len(items) % BLOCK))  # zero items up to a whole block
        self._onednn = uses_onednn()
        self._items = whole.t() if self._onednn else whole.t().contiguous()  # (d, I), laid out as each one likes it
        self._buffer = torch.empty(_ROWS * widest)  # written again and again: fresh pages cost more than the product

    def __call__(self, block: Tensor, start: int, stop: int) -> Tensor:
        span = self._items[:, start:stop]
        if self._onednn:
            return matmul(block, span)
        out = self._buffer[: _ROWS * (stop - start)].view(_ROWS, stop - start)
        return torch.mm(block, span, out=out)


def _column_tiles(n_items: int, columns: int) -> list[tuple[int, int]]:
    """Spans of about equal width, each a multiple of a block wide but the last."""
    count = max(1, -(-n_items // max(columns, BLOCK)))
    width = max(1, -(-n_items // (count * BLOCK))) * BLOCK
    return [(start, min(start + width, n_items)) for start in range(0, n_items, width)]


class _Mask:
    """The excluded pairs of a span of items, as places in a tile of `_ROWS` users whose rows are `stride` apart."""

    def __init__(self, exclude: Interactions | None, start: int, stop: int, stride: int) -> None:
        if exclude is None:
            self._bounds = None
            return
        inside = exclude if (start, stop) == (0, exclude.shape[1]) else exclude[:, start:stop]
        rows = np.repeat(np.arange(inside.shape[0]) % _ROWS, np.diff(inside.indptr))
        self._places = rows * stride + inside.indices
        self._bounds = inside.indptr

    def places(self, first: int, last: int) -> NDArray[np.int64]:
        """Flat places of the pairs of users first..last-1; `first` begins a tile."""
        if self._bounds is None:
            return np.empty(0, np.int64)
        return self._places[self._bounds[first] : self._bounds[last]]


def _rank_torch(queries: Tensor, items: Tensor, k: int, exclude: Interactions | None, tile_bytes: int) -> Ranking:
    """The same answer by sorting one packed key per score: more work, hardly any launches."""
    n_users, n_items = len(queries), len(items)
    device = queries.device
    columns = max(1, min(n_items, tile_bytes // (12 * _ROWS)))  # 4 bytes of score and 8 of key
    rows = max(_ROWS, tile_bytes // (12 * columns))
    best = torch.full((n_users, k), EMPTY, dtype=torch.int64, device=device)
    for first in range(0, n_users, rows):
        last = min(first + rows, n_users)
        for start in range(0, n_items, columns):
            stop = min(start + columns, n_items)
            scores = queries[first:last] @ items[start:stop].t()
            if exclude is not None:
                seen = exclude[first:last, start:stop].tocoo().coords
                where = [torch.from_numpy(axis.astype(np.int64)).to(device) for axis in seen]
                scores[where[0], where[1]] = -torch.inf
            keys = torch.cat([best[first:last], _pack_torch(scores, start)], 1)
            best[first:last] = torch.topk(keys, k, dim=1).values
    found, values = unpack(best.cpu().numpy())
    return Ranking(torch.from_numpy(found).to(device), torch.from_numpy(values).to(device))


def _pack_torch(scores: Tensor, first_item: int) -> Tensor:
    """`selection.pack` for a tile (R, C) whose column c is item `first_item` + c."""
    bits = (scores + 0.0).view(torch.int32)
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    items = torch.arange(first_item, first_item + scores.shape[1], device=scores.device)
    return (bits.long() << 32) | (0x7FFFFFFF - items)
