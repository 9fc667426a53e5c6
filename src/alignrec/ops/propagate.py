"""Repeated sparse products: what reaches a node over paths of a given length."""

from torch import Tensor

from alignrec.ops.spmm import SparseOperator, spmm

__all__ = ["propagate"]


def propagate(operator: SparseOperator, x: Tensor, n_layers: int, rows: Tensor | None = None) -> Tensor:
    """A^L x (N, d) for a square A, or only its `rows` (r, d): the last product then touches these alone.

    Args:
        operator: A (N, N).
        x: (N, d).
        n_layers: L; 0 gives x itself.
        rows: (r,) int64.

    Raises:
        DataError: `x` does not fit A.
    """
    if n_layers == 0:
        return x if rows is None else x.index_select(0, rows)
    for _ in range(n_layers - 1):
        x = spmm(operator, x)
    return spmm(operator, x, rows)
