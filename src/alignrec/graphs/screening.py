"""Nearest neighbours by a first look in bfloat16, for processors that multiply it many times as fast as float32.

With μ the mean of the unit rows, the neighbours of a row a are ordered by

    a·(b - μ) = c_a·c_b + μ·c_b,   c_b = b - μ,

whose factors are shorter than unit rows where features resemble each other, so that rounding them to bfloat16 loses
less. With ĉ the rounded rows and μ·c_b in two parts of bfloat16, the sum is off by no more than

    ‖c_a - ĉ_a‖ ‖c_b‖ + ‖ĉ_a‖ ‖c_b - ĉ_b‖     (Cauchy and Schwarz)

and what the two parts lose: m in all, known once the rows are rounded. At least k sums reach t, the k-th largest of
the maxima over groups of items, so none of the k largest is below t - 2m in bfloat16. The few items that reach it are
multiplied with the row again in float32: the neighbours are those of the float32 product, not of the first look.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alignrec.ops import PackedRows, listed_dots, matmul

__all__ = ["by_row_then_largest", "can_screen", "screened_neighbors"]

_FEW = 8  # maxima are taken over so many items, and over so many of these maxima again
_GROUP = _FEW * _FEW
_BLOCK_BYTES = 1 << 25
_TILE = 32  # numbers that the processor multiplies at once: rows of whole tiles are faster
_LARGEST_COPY = 1 << 30  # bytes
_MOST_ROWS = 512
_ROWS_AT_ONCE = 256  # of those that are rounded: they stay in the cache
_HALF_STEP = 2.0**-8  # what rounding to bfloat16 changes a number by, at most, as a part of it

Found = tuple[NDArray[np.int64], NDArray[np.float32]]


def can_screen(unit: Tensor, k: int) -> bool:
    """Whether there are so many groups of items that the k-th largest of their maxima says something.

    And whether the rounded copy of `unit` (I, d) takes no more than 1 GB: of two evils, time.
    """
    return len(unit) >= 4 * k * _GROUP and 2 * unit.numel() <= _LARGEST_COPY


def screened_neighbors(unit: Tensor, k: int, block_rows: int | None = None) -> Found:
    """Items (I, k) with the largest products with each row of `unit` (I, d), and these products; see `knn`.

    Rows have length 1, or 0: those have the first k items for neighbours. `can_screen` must hold.
    """
    step = block_rows or max(1, min(_MOST_ROWS, _BLOCK_BYTES // (2 * len(unit))))
    screen = _Screen.of(unit, step)
    indices, values = np.empty((len(unit), k), dtype=np.int64), np.empty((len(unit), k), dtype=np.float32)
    for start in range(0, len(unit), step):
        block = unit[start : start + step]
        rows, items, unclear = screen.candidates(start, len(block), k)
        indptr = np.searchsorted(rows, np.arange(len(block) + 1))
        products = listed_dots(torch.from_numpy(indptr), torch.from_numpy(items), block, unit).numpy()
        of_block, clear = slice(start, start + len(block)), start + np.flatnonzero(np.diff(indptr))
        indices[of_block], values[of_block] = np.arange(k), 0.0  # what rows of zeros keep
        indices[clear], values[clear] = _k_largest(rows, items, products, k)
        n_parts = -(-2 * len(unclear) // step)  # products in float32 take twice the memory
        for part in np.array_split(unclear, n_parts) if n_parts else ():
            indices[start + part], values[start + part] = _multiplied(block[torch.from_numpy(part)], unit, k)
    return indices, values


@dataclass(frozen=True)
class _Screen:
    """The rows, rounded to bfloat16, and what that lost."""

    unit: Tensor  # (I, d)
    mean: Tensor  # (d,)
    rounded: PackedRows  # (width, D), D >= d + 2: ĉ, and the two parts of μ·c, of every item; else zeros
    lengths: Tensor  # (I,) ‖c‖
    lost: Tensor  # (I,) ‖c - ĉ‖
    lost_of_mean: float  # the most that the two parts of μ·c lose

    @classmethod
    def of(cls, unit: Tensor, step: int) -> "_Screen":
        n_items, d = unit.shape
        rounded = torch.zeros(_up_to(n_items, _GROUP), _up_to(d + 2, _TILE), dtype=torch.bfloat16)
        lengths, lost = unit.new_empty(n_items), unit.new_empty(n_items)
        mean, of_mean = unit.mean(dim=0), unit.new_empty(n_items)
        for start in range(0, n_items, _ROWS_AT_ONCE):
            part = slice(start, min(n_items, start + _ROWS_AT_ONCE))
            centred = unit[part] - mean
            of_mean[part], lengths[part] = centred @ mean, torch.linalg.vector_norm(centred, dim=1)
            rounded[part, :d] = centred
            lost[part] = torch.linalg.vector_norm(centred.sub_(rounded[part, :d].float()), dim=1)
        rounded[:n_items, d] = of_mean
        rounded[:n_items, d + 1] = rest = of_mean - rounded[:n_items, d].float()
        lost_of_mean = float((rest - rounded[:n_items, d + 1].float()).abs().amax())
        return cls(unit, mean, PackedRows(rounded, step), lengths, lost, lost_of_mean)

    def candidates(
        self, start: int, n_rows: int, k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The rows of a block, and items that may be among their k best, ascending; and rows that stay unclear.

        The block has `n_rows` rows t from `start` on. A row is unclear when bfloat16 leaves too many items open. Rows
        of zeros are in neither.
        """
        n_items, of_block = len(self.unit), slice(start, start + n_rows)
        left = torch.ones(n_rows, self.rounded.shape[1], dtype=torch.bfloat16)  # ones take both parts of μ·c
        left[:, : len(self.mean)] = self.unit[of_block] - self.mean
        tile = self.rounded.products(left)  # (t, width)
        tile[:, n_items:] = -torch.inf
        # Positive numbers compare as the integers of the same bits do, which is several times as fast; a negative
        # number is below every positive one either way.
        bits = tile.view(torch.int16).view(n_rows, _FEW, -1)  # item i is at i // size, i % size of the last two
        maxima = bits.amax(dim=1)  # (t, 8 groups): m is of the items m, m + size, m + 2 size, ...
        largest = maxima.view(n_rows, _FEW, -1).amax(dim=1)  # (t, groups): of g, g + groups, ...
        reached = torch.topk(largest.view(torch.bfloat16).float(), k, dim=1, sorted=False).values.amin(dim=1)
        lowest = (reached - _HALF_STEP * reached.abs() - 2 * self._margin(of_block)).bfloat16()
        bounds = lowest.view(torch.int16).numpy()[:, None]
        hits = largest.numpy() >= bounds
        is_something = (torch.linalg.vector_norm(self.unit[of_block], dim=1) > 0).numpy()
        is_clear = is_something & (lowest > 0).numpy() & (hits.sum(axis=1) <= max(2 * k, hits.shape[1] // 2))
        rows, groups = np.divmod(np.flatnonzero(hits & is_clear[:, None]), hits.shape[1])
        rows, places = _members(maxima.view(n_rows, _FEW, -1).numpy(), rows, groups, bounds)
        rows, items = _members(bits.numpy(), rows, places, bounds)
        ordered = np.sort(rows * n_items + items)
        return ordered // n_items, ordered % n_items, np.flatnonzero(is_something & ~is_clear)

    def _margin(self, of_block: slice) -> Tensor:
        """What the sums of rows with all items may be off by, (t,), a little generously for the sums in float32."""
        lengths, lost = self.lengths[of_block], self.lost[of_block]
        rounding = lost * self.lengths.amax() + (lengths + lost) * self.lost.amax() + self.lost_of_mean
        return 1.001 * rounding + self.rounded.shape[1] * 2.0**-22


def _up_to(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _members(
    values: NDArray[np.int16], rows: NDArray[np.int64], groups: NDArray[np.int64], bounds: NDArray[np.int16]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of the pairs (row, group), the rows and the places in `values` (t, 8, n) whose value reaches the row's bound."""
    inside, member = np.divmod(np.flatnonzero(values[rows, :, groups] >= bounds[rows]), _FEW)
    return rows[inside], member * values.shape[2] + groups[inside]


def _multiplied(rows: Tensor, unit: Tensor, k: int) -> Found:
    """The same from all products of `rows` (t, d) in float32."""
    products = matmul(rows, unit.t())
    whole = products[:, : len(unit) // _GROUP * _GROUP].view(len(rows), _GROUP, -1)
    reached = torch.topk(whole.amax(dim=1), k, dim=1, sorted=False).values.amin(dim=1, keepdim=True)
    row, item = np.divmod(np.flatnonzero(products.numpy() >= reached.numpy()), len(unit))
    return _k_largest(row, item, products.numpy()[row, item], k)


def _k_largest(rows: NDArray[np.int64], items: NDArray[np.int64], values: NDArray[np.float32], k: int) -> Found:
    """The k largest values of each row that occurs, largest first, equal ones by item, and their items: (R, k) each.

    Rows ascend, and items within a row; each row that occurs has k entries or more.
    """
    order = np.argsort(by_row_then_largest(rows, values), kind="stable")
    begins = np.flatnonzero(np.diff(rows, prepend=-1))
    kept = order[begins[:, None] + np.arange(k)]
    return items[kept], values[kept]


def by_row_then_largest(rows: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.int64]:
    """One integer per entry that orders by row, then by falling value: sorting it once is 3 times as fast."""
    bits = (values + np.float32(0)).view(np.int32)  # + 0 makes -0.0 equal 0.0
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # IEEE floats compare like their bits, but for the negative ones
    return (rows << 32) + (0x7FFFFFFF - ascending.astype(np.int64))
