"""Projecting a trained table of features whose gradient stays two small factors.

For x = F Wᵀ with features F (n, D) and a narrow weight W (d, D), the gradient in F is G W with G = ∂L/∂x (n, d): as
large as the table, and of rank d. Multiplied out it is written to memory once and read once, only for Adam to take it
row by row. Kept as G and W it is multiplied a few rows at a time by the optimiser, where it stays in the processor's
cache.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from alignrec.ops.matmul import matmul, outer_sum, project

__all__ = ["FactoredGradient", "project_table"]


@dataclass(frozen=True)
class FactoredGradient:
    """The gradient G W of some rows of a table."""

    rows: Tensor | None
    """(r,) int64, the rows that were read, in any order; None: all of them."""
    left: Tensor
    """G (r, d)."""
    right: Tensor
    """W (d, D), the weight itself: it must not change before the gradient is used."""

    def dense(self, table: Tensor) -> Tensor:
        """The same as a table (n, D) like `table`."""
        product = matmul(self.left, self.right)
        return product if self.rows is None else torch.zeros_like(table).index_add_(0, self.rows, product)


def project_table(table: Tensor, weight: Tensor, rows: Tensor | None, gradients: list[FactoredGradient]) -> Tensor:
    """F Wᵀ (r, d) for the rows `rows` (r,) of a table F (n, D), or all, and a weight W (d, D).

    The backward pass gives the weight its gradient, and appends that of the table to `gradients` instead of setting it.
    """
    return cast(Tensor, _TableProjection.apply(table, weight, rows, gradients))  # type: ignore[no-untyped-call]


class _TableProjection(torch.autograd.Function):
    @staticmethod
    def forward(  # Any: torch types no ctx attributes
        ctx: Any, table: Tensor, weight: Tensor, rows: Tensor | None, gradients: list[FactoredGradient]
    ) -> Tensor:
        read = table if rows is None else table.index_select(0, rows)
        ctx.save_for_backward(read, weight)
        ctx.rows, ctx.gradients = rows, gradients
        return project(read, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, None, None]:  # Any: as above
        read, weight = ctx.saved_tensors
        if ctx.needs_input_grad[0]:
            ctx.gradients.append(FactoredGradient(ctx.rows, gradient, weight))
        return None, outer_sum(gradient, read) if ctx.needs_input_grad[1] else None, None, None
