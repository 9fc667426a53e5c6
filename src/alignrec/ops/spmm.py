"""The one sparse product: a fixed sparse matrix times dense rows, and the layer mean of LightGCN built on it.

A is never trained, so only the dense side has a gradient: d(AX)/dX applied to G is AᵀG. The transpose is stored
once, next to A, instead of being rebuilt in every backward pass. The product runs through `embedding_bag`: "sum the
listed rows of a table, weighted" is a row of A times a dense matrix, and its kernel reads ahead and works in float64
and on CUDA as well.

A loss reads only the rows of its batch. Given those, the last product forward and the first one backward touch the
entries of these rows alone, and no pass over the whole table is spent on adding layers.
"""

from typing import Any, cast

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from alignrec.errors import DataError
from alignrec.ops.compressed_rows import Csr, select_rows, transpose

__all__ = ["SparseOperator", "propagate_mean", "propagate_mean_and_tail", "propagate_mean_rows", "spmm"]


class SparseOperator(nn.Module):
    """A fixed (n_rows, n_cols) sparse matrix with its transpose; moves with `.to()`, is not in the state dict.

    It is a module so that a model that holds one carries it along to its device and number type.
    """

    indptr: Tensor
    indices: Tensor
    values: Tensor
    transposed_indptr: Tensor
    transposed_indices: Tensor
    transposed_values: Tensor

    def __init__(self, matrix: sparse.csr_array, *, symmetric: bool) -> None:
        super().__init__()
        self.shape: tuple[int, int] = (int(matrix.shape[0]), int(matrix.shape[1]))
        self.symmetric = symmetric
        self._register("", matrix)
        if not symmetric:
            self._register("transposed_", matrix.T.tocsr())

    def _register(self, prefix: str, matrix: sparse.csr_array) -> None:
        index_type = np.int32 if max(matrix.nnz, *matrix.shape) < 2**31 else np.int64
        arrays = {
            "indptr": matrix.indptr.astype(index_type),
            "indices": matrix.indices.astype(index_type),
            "values": matrix.data.astype(np.float32),
        }
        for name, array in arrays.items():
            self.register_buffer(prefix + name, torch.from_numpy(array), persistent=False)

    @classmethod
    def from_scipy(cls, matrix: sparse.csr_array, symmetric: bool = False) -> "SparseOperator":
        """Make the operator of `matrix`; entries are copied to float32, duplicates summed.

        Args:
            matrix: any shape; rows may be empty.
            symmetric: the caller's promise that `matrix` equals its transpose, which then is not stored twice.

        Raises:
            DataError: `symmetric` for a matrix that is not square, or a value that is not finite.
        """
        rows = sparse.csr_array(matrix)
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        if symmetric and rows.shape[0] != rows.shape[1]:
            raise DataError(f"a matrix of shape {rows.shape} cannot be symmetric; leave out symmetric=True")
        if not np.isfinite(rows.data).all():
            raise DataError("a sparse operator needs finite values, this one holds NaN or infinity; check its degrees")
        return cls(rows, symmetric=symmetric)

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return int(self.values.numel())

    def forward(self, dense: Tensor) -> Tensor:
        """`spmm(self, dense)`."""
        return spmm(self, dense)

    def extra_repr(self) -> str:
        """What `print(model)` shows of it."""
        return f"shape={self.shape}, nnz={self.nnz}, symmetric={self.symmetric}"

    def csr(self) -> Csr:
        """A, in compressed rows."""
        return Csr(self.indptr, self.indices, self.values)

    def transposed_csr(self) -> Csr:
        """Aᵀ, in compressed rows."""
        if self.symmetric:
            return self.csr()
        return Csr(self.transposed_indptr, self.transposed_indices, self.transposed_values)


def spmm(operator: SparseOperator, dense: Tensor, rows: Tensor | None = None) -> Tensor:
    """A @ dense: (n_rows, n_cols) times (n_cols, d) -> (n_rows, d), in the number type of `dense`.

    Differentiable in `dense` (twice, without `rows`). An empty row gives zeros.

    Args:
        operator: A.
        dense: (n_cols, d).
        rows: (r,) int64; only these rows of the product, -> (r, d). They need be neither sorted nor distinct.

    Raises:
        DataError: `dense` has not n_cols rows.
    """
    _check(operator, dense)
    if rows is not None:
        return cast(Tensor, _ProductRows.apply(dense, operator.csr(), rows))  # type: ignore[no-untyped-call]
    return cast(Tensor, _Product.apply(dense, operator.csr(), operator.transposed_csr()))  # type: ignore[no-untyped-call]


def propagate_mean(operator: SparseOperator, x: Tensor, n_layers: int) -> Tensor:
    """(x + Ax + ... + A^L x) / (L + 1) for a square A: LightGCN's mean over layers (He et al. 2020, eq. 7 and 8).

    Computed from the inside out (Horner), forward and backward, so that no stack of layers is kept.

    Args:
        operator: A (N, N).
        x: (N, d).
        n_layers: L.

    Raises:
        DataError: A is not square, `x` does not fit it, or `n_layers` is negative.
    """
    _check_layers(operator, x, n_layers)
    if n_layers == 0:
        return x
    return cast(Tensor, _LayerMean.apply(x, operator.csr(), operator.transposed_csr(), n_layers))  # type: ignore[no-untyped-call]


def propagate_mean_rows(operator: SparseOperator, x: Tensor, n_layers: int, rows: Tensor) -> tuple[Tensor, Tensor]:
    """`x[rows]` and `propagate_mean(operator, x, n_layers)[rows]`, both (r, d), for what a batch needs.

    The rows of x come along because a loss often regularises them too, and their gradient is then added where it
    belongs instead of through a second table of zeros.

    Args:
        operator: A (N, N).
        x: (N, d).
        n_layers: L.
        rows: (r,) int64; neither sorted nor distinct of necessity, but every copy is computed.

    Raises:
        DataError: as `propagate_mean`.
    """
    _check_layers(operator, x, n_layers)
    if n_layers == 0 or x.device.type != "cpu":
        return x.index_select(0, rows), propagate_mean(operator, x, n_layers).index_select(0, rows)
    graph = (operator.csr(), operator.transposed_csr())
    own, mean, _ = _LayerMeanRows.apply(x, *graph, n_layers, rows, len(x))  # type: ignore[no-untyped-call]
    return own, mean


def propagate_mean_and_tail(
    operator: SparseOperator, x: Tensor, n_layers: int, rows: Tensor, start: int
) -> tuple[Tensor, Tensor]:
    """`propagate_mean(operator, x, n_layers)[rows]` (r, d), and `x[start:]` (N - start, d) as it is.

    For a model that takes the means of a batch and, for another graph, all of its items, the last of the nodes: the
    gradient of those is added where it belongs instead of through a second table of zeros, as large as x.

    Args:
        operator: A (N, N).
        x: (N, d).
        n_layers: L.
        rows: (r,) int64, as in `propagate_mean_rows`.
        start: the first row of the tail.

    Raises:
        DataError: as `propagate_mean`.
    """
    _check_layers(operator, x, n_layers)
    if n_layers == 0 or x.device.type != "cpu":
        return propagate_mean(operator, x, n_layers).index_select(0, rows), x[start:]
    graph = (operator.csr(), operator.transposed_csr())
    _, mean, tail = _LayerMeanRows.apply(x, *graph, n_layers, rows, start)  # type: ignore[no-untyped-call]
    return mean, tail


def _check_layers(operator: SparseOperator, x: Tensor, n_layers: int) -> None:
    _check(operator, x)
    if operator.shape[0] != operator.shape[1] or n_layers < 0:
        raise DataError(
            f"layers need a square matrix and n_layers >= 0, not shape {operator.shape} and n_layers {n_layers}"
        )


def _check(operator: SparseOperator, dense: Tensor) -> None:
    if dense.dim() != 2 or dense.shape[0] != operator.shape[1]:
        raise DataError(f"a matrix of shape {operator.shape} cannot multiply a table of shape {tuple(dense.shape)}")


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, dense: Tensor, csr: Csr, transposed: Csr) -> Tensor:
        ctx.graph = (csr, transposed)  # type: ignore[attr-defined]
        return _multiply(csr, dense)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # Any: torch types no ctx attributes
        csr, transposed = ctx.graph
        return cast(Tensor, _Product.apply(gradient, transposed, csr)), None, None  # type: ignore[no-untyped-call]


class _ProductRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, dense: Tensor, csr: Csr, rows: Tensor) -> Tensor:
        selected = select_rows(csr, len(dense), rows)
        ctx.graph = (selected, len(dense))  # type: ignore[attr-defined]
        return _multiply(selected, dense)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # Any: as above
        return _multiply(transpose(*ctx.graph), gradient), None, None


class _LayerMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, csr: Csr, transposed: Csr, n_layers: int) -> Tensor:
        ctx.graph = (csr, transposed, n_layers)  # type: ignore[attr-defined]
        mean = x
        for layer in range(1, n_layers + 1):  # mean of l + 1 layers: (x + l A m) / (l + 1), m the mean of l layers
            mean = _multiply(csr, mean).lerp_(x, 1.0 / (layer + 1))
        return mean

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # Any: as above
        csr, transposed, n_layers = ctx.graph
        result = cast(Tensor, _LayerMean.apply(gradient, transposed, csr, n_layers))  # type: ignore[no-untyped-call]
        return result, None, None, None


class _LayerMeanRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, csr: Csr, transposed: Csr, n_layers: int, rows: Tensor, start: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        selected = select_rows(csr, len(x), rows)
        ctx.graph = (selected, transposed, n_layers, rows, start)  # type: ignore[attr-defined]
        ctx.set_materialize_grads(False)
        layer, own = x, x.index_select(0, rows)
        total = own
        for _ in range(n_layers - 1):
            layer = _multiply(csr, layer)
            total = layer.index_select(0, rows).add_(total)
        return own, _multiply(selected, layer).add_(total).div_(n_layers + 1), x[start:]

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # Any: as above
        for_own: Tensor | None,
        for_mean: Tensor | None,
        for_tail: Tensor | None,
    ) -> tuple[Tensor | None, None, None, None, None, None]:
        selected, transposed, n_layers, rows, start = ctx.graph
        n_nodes = transposed.indptr.numel() - 1
        result: Tensor | None = None
        if for_mean is not None:
            share = for_mean / (n_layers + 1)
            result = _multiply(transpose(selected, n_nodes), share)
            for _ in range(n_layers - 1):
                result = _multiply(transposed, result.index_add_(0, rows, share))
            for_own = share if for_own is None else share.add_(for_own)
        for gradient in (for_own, for_tail):
            if gradient is not None and result is None:
                result = gradient.new_zeros(n_nodes, gradient.shape[1])
        if result is not None and for_own is not None:
            result.index_add_(0, rows, for_own)
        if result is not None and for_tail is not None:
            result[start:] += for_tail
        return result, None, None, None, None, None


def _multiply(csr: Csr, dense: Tensor) -> Tensor:
    n_rows = csr.indptr.numel() - 1
    if csr.indices.numel() == 0 or dense.shape[1] == 0:
        return dense.new_zeros(n_rows, dense.shape[1])
    return nn.functional.embedding_bag(
        csr.indices,
        dense.detach().contiguous(),  # a table that wants a gradient would take a slower kernel
        csr.indptr,
        mode="sum",
        per_sample_weights=csr.values.to(dense.dtype),
        include_last_offset=True,
    )
