"""Sparse matrices whose values are learned: attention over the edges of a fixed graph.

Per edge there is one number and never a vector: a dot product of the two ends, a softmax over the edges that arrive at
a node, a weighted sum of neighbours. The first and the last are each other's gradients: with s_e = x_u · y_i and
z_u = Σ_e v_e y_i over the edges e = (u, i),

    ds: dx_u = Σ_e ds_e y_i, dy_i = Σ_e ds_e x_u        dz: dv_e = dz_u · y_i, dy_i = Σ_e v_e dz_u

so that memory is O(E + (U + I) d), forward and backward. Sums run through `embedding_bag`. Dot products are PyTorch's
sampled product on the CPU; elsewhere they are the gradient of `embedding_bag` in the weights of the listed rows, 2 to
5 times as fast as gathering both ends one block after another, though slower than the sampled product on the CPU.
"""

import warnings
from typing import Any, cast

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.functional import embedding_bag

from alignrec.errors import DataError

__all__ = ["Edges", "edge_dots", "edge_softmax", "edge_sum", "listed_dots"]


class Edges(nn.Module):
    """The entries of a fixed (n_rows, n_cols) pattern, numbered row by row; moves with `.to()`, not in the state dict.

    Edge e leads from column `columns[e]` to row `rows[e]`, and the other way where something is transposed.
    """

    rows: Tensor  # (E,) int64, ascending
    columns: Tensor  # (E,) int64
    indptr: Tensor  # (n_rows + 1,) int64
    by_column: Tensor  # (E,) int64 edge numbers in the order of their columns
    transposed_rows: Tensor  # (E,) int64, rows[by_column]
    transposed_indptr: Tensor  # (n_cols + 1,) int64

    def __init__(self, pattern: sparse.csr_array) -> None:
        super().__init__()
        self.shape: tuple[int, int] = (int(pattern.shape[0]), int(pattern.shape[1]))
        lengths = np.diff(pattern.indptr)
        rows = np.repeat(np.arange(self.shape[0]), lengths)
        by_column = np.argsort(pattern.indices, kind="stable")
        counts = np.bincount(pattern.indices, minlength=self.shape[1])
        arrays = {
            "rows": rows,
            "columns": pattern.indices.astype(np.int64),
            "indptr": pattern.indptr.astype(np.int64),
            "by_column": by_column,
            "transposed_rows": rows[by_column],
            "transposed_indptr": np.concatenate([[0], np.cumsum(counts)]),
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def extra_repr(self) -> str:
        """What `print(model)` shows of it."""
        return f"shape={self.shape}, n_edges={self.rows.numel()}"


def edge_dots(edges: Edges, x: Tensor, y: Tensor) -> Tensor:
    """x_u · y_i of every edge (u, i), (E,); differentiable in both.

    Args:
        edges: E entries of an (n_rows, n_cols) pattern.
        x: (n_rows, d).
        y: (n_cols, d).

    Raises:
        DataError: the tables do not fit the pattern.
    """
    if x.dim() != 2 or y.dim() != 2 or (len(x), len(y)) != edges.shape or x.shape[1] != y.shape[1]:
        raise DataError(f"edges of shape {edges.shape} have no tables of shapes {tuple(x.shape)} and {tuple(y.shape)}")
    return cast(Tensor, _Dots.apply(x, y, edges))  # type: ignore[no-untyped-call]


def listed_dots(indptr: Tensor, columns: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """x_u · y_i of the columns i listed for each row u, (E,), without a gradient.

    Args:
        indptr: (n_rows + 1,) int64; columns indptr[u] to indptr[u + 1] are row u's.
        columns: (E,) int64, each at most once in a row.
        x: (n_rows, d).
        y: (n_cols, d).
    """
    x, y = x.detach(), y.detach()
    if x.device.type != "cpu":
        with torch.enable_grad():
            ones = x.new_ones(len(columns), requires_grad=True)
            sums = _bags(columns, indptr, ones, y)
        return torch.autograd.grad(sums, ones, x)[0]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        pattern = torch.sparse_csr_tensor(
            indptr, columns, x.new_zeros(len(columns)), (len(x), len(y)), check_invariants=False
        )
    dots: Tensor = torch.sparse.sampled_addmm(pattern, x, y.t(), beta=0.0).values()
    return dots


def edge_sum(edges: Edges, values: Tensor, dense: Tensor, *, transposed: bool = False) -> Tensor:
    """Σ values[e] · dense[i] over the edges e = (u, i) of every u, (n_rows, d): the product of a sparse matrix.

    Differentiable in both. A node without edges gets zeros.

    Args:
        edges: E entries of an (n_rows, n_cols) pattern.
        values: (E,) in the order of the edges.
        dense: (n_cols, d).
        transposed: sum over the edges of every column instead: dense (n_rows, d) -> (n_cols, d).

    Raises:
        DataError: the values or the table do not fit the pattern.
    """
    expected = edges.shape[0 if transposed else 1]
    if values.shape != edges.rows.shape or dense.dim() != 2 or len(dense) != expected:
        raise DataError(
            f"{edges.rows.numel()} edges and {expected} nodes do not fit values of shape {tuple(values.shape)} "
            f"and a table of shape {tuple(dense.shape)}"
        )
    return cast(Tensor, _Sum.apply(values, dense, edges, transposed))  # type: ignore[no-untyped-call]


def edge_softmax(edges: Edges, scores: Tensor, *, transposed: bool = False) -> Tensor:
    """Softmax of `scores` (E,) within the edges of each row, or with `transposed` of each column, (E,)."""
    groups = edges.columns if transposed else edges.rows
    n_groups = edges.shape[1 if transposed else 0]
    # Shifted by the largest: exp stays finite, and the shares do not change
    largest = scores.detach().new_full((n_groups,), -torch.inf).scatter_reduce_(0, groups, scores.detach(), "amax")
    weights = torch.exp(scores - largest.index_select(0, groups))
    sums = weights.new_zeros(n_groups).index_add(0, groups, weights)
    return weights / sums.index_select(0, groups)


class _Dots(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, y: Tensor, edges: Edges) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.edges = edges  # type: ignore[attr-defined]
        return listed_dots(edges.indptr, edges.columns, x, y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # Any: torch types no ctx
        x, y = ctx.saved_tensors
        for_x = edge_sum(ctx.edges, gradient, y) if ctx.needs_input_grad[0] else None
        return for_x, edge_sum(ctx.edges, gradient, x, transposed=True) if ctx.needs_input_grad[1] else None, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, dense: Tensor, edges: Edges, transposed: bool) -> Tensor:
        ctx.save_for_backward(values, dense)
        ctx.edges, ctx.transposed = edges, transposed  # type: ignore[attr-defined]
        if transposed:
            return _bags(edges.transposed_rows, edges.transposed_indptr, values[edges.by_column], dense)
        return _bags(edges.columns, edges.indptr, values, dense)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # Any: as above
        values, dense = ctx.saved_tensors
        ends = (dense, gradient) if ctx.transposed else (gradient, dense)
        for_values = edge_dots(ctx.edges, *ends) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return for_values, None, None, None
        return for_values, edge_sum(ctx.edges, values, gradient, transposed=not ctx.transposed), None, None


def _bags(indices: Tensor, indptr: Tensor, values: Tensor, dense: Tensor) -> Tensor:
    table = dense.detach().contiguous()  # a table that wants a gradient would take a slower kernel
    return embedding_bag(indices, table, indptr, mode="sum", per_sample_weights=values, include_last_offset=True)
