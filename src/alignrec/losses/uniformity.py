"""A loss that spreads vectors over the unit sphere (Wang and Isola, ICML 2020), as DirectAU uses it.

    L = log mean_{i<j} exp(−t ‖x_i − x_j‖²)   over the pairs of a batch, rows x scaled to length 1

A user or item that occurs twice in the batch is a pair at distance 0; that is kept, and equal rows are computed once
and counted. With c_i the counts of the distinct rows, and ‖x_i − x_j‖² = 2 − 2 x_i·x_j,

    2 Σ_{i<j} = Σ_i c_i (c_i − 1) + Σ_{i≠j} c_i c_j exp(2t (x_i·x_j − 1))

The gradient is computed in the forward pass, one tile of rows at a time: no B x B matrix is ever stored.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from alignrec.errors import UsageError
from alignrec.ops import matmul, unit_rows

__all__ = ["uniformity"]

_TILE_ROWS = 256


def uniformity(table: Tensor, ids: Tensor, sharpness: float = 2.0) -> Tensor:
    """The log mean of exp(−t ‖x_i − x_j‖²) over the pairs of unit rows of `table[ids]`; 0 for one row, without pairs.

    Args:
        table: (N, d).
        ids: (B,) int64 row numbers, with duplicates.
        sharpness: t.

    Raises:
        UsageError: `ids` is empty.
    """
    if ids.numel() == 0:
        raise UsageError("uniformity needs at least one id, not none")
    distinct, counts = torch.unique(ids, return_counts=True)
    unit = unit_rows(table.index_select(0, distinct))
    if ids.numel() == 1:
        return unit.sum() * 0.0
    return cast(Tensor, _LogMeanPairs.apply(unit, counts.to(unit.dtype), sharpness))  # type: ignore[no-untyped-call]


class _LogMeanPairs(torch.autograd.Function):
    """From unit rows (m, d) and counts (m,)."""

    @staticmethod
    def forward(ctx: Any, unit: Tensor, counts: Tensor, sharpness: float) -> Tensor:  # Any: torch types no ctx
        n_rows = counts.sum(dtype=torch.float64)
        total = (counts * (counts - 1.0)).sum(dtype=torch.float64)  # twice the sum over pairs
        counted, columns = unit * counts[:, None], unit.t()
        gradient = torch.empty_like(unit)
        for start in range(0, len(unit), _TILE_ROWS):
            tile = slice(start, start + _TILE_ROWS)
            weights = matmul(unit[tile], columns).sub_(1.0).mul_(2.0 * sharpness).exp_()  # (t, m)
            weights.diagonal(start).zero_()
            total += torch.dot(counts[tile], weights.mv(counts)).double()
            gradient[tile] = matmul(weights, counted)
        # d total / d x_i = 4t c_i Σ_j c_j w_ij x_j: each pair is in `total` twice
        ctx.save_for_backward(gradient.mul_(counts[:, None] * (4.0 * sharpness / total)))
        return (total / (n_rows * (n_rows - 1.0))).log().to(unit.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # Any: as above
        (saved,) = ctx.saved_tensors
        return saved * gradient, None, None
