"""Sparse matrices as three arrays, and their parts: some rows of one, and its transpose.

On the CPU both are SciPy's, without a copy of the matrix; elsewhere they are made where the matrix is.
"""

from typing import NamedTuple

import torch
from scipy import sparse
from torch import Tensor

__all__ = ["Csr", "select_rows", "transpose"]


class Csr(NamedTuple):
    """Compressed rows: row r holds `values[indptr[r]:indptr[r+1]]` at the columns `indices[...]`."""

    indptr: Tensor  # (n_rows + 1,)
    indices: Tensor  # (nnz,)
    values: Tensor  # (nnz,)


def select_rows(csr: Csr, n_cols: int, rows: Tensor) -> Csr:
    """The rows `rows` (r,) int64 of the matrix, neither sorted nor distinct of necessity: (r, n_cols)."""
    if rows.device.type == "cpu":
        return _from_scipy(_to_scipy(csr, n_cols)[rows.numpy()])
    begins = csr.indptr.index_select(0, rows)
    lengths = csr.indptr.index_select(0, rows + 1) - begins
    indptr = _offsets(lengths)
    entries = torch.arange(int(indptr[-1]), device=rows.device) + (begins - indptr[:-1]).repeat_interleave(lengths)
    return Csr(indptr, csr.indices.index_select(0, entries), csr.values.index_select(0, entries))


def transpose(csr: Csr, n_cols: int) -> Csr:
    """Rows become columns, (n_cols, n_rows), by counting: with the few rows of a batch gradients stay in the cache."""
    if csr.indptr.device.type == "cpu":
        return _from_scipy(_to_scipy(csr, n_cols).tocsc())
    numbers = torch.arange(csr.indptr.numel() - 1, dtype=csr.indices.dtype, device=csr.indices.device)
    rows = numbers.repeat_interleave(csr.indptr.diff())
    order = csr.indices.argsort(stable=True)
    indptr = _offsets(torch.bincount(csr.indices, minlength=n_cols).to(csr.indptr.dtype))
    return Csr(indptr, rows.index_select(0, order), csr.values.index_select(0, order))


def _offsets(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0, dtype=lengths.dtype)])


def _to_scipy(csr: Csr, n_cols: int) -> sparse.csr_array:
    arrays = (csr.values.numpy(), csr.indices.numpy(), csr.indptr.numpy())  # no copies
    return sparse.csr_array(arrays, shape=(len(arrays[2]) - 1, n_cols))


def _from_scipy(matrix: sparse.csr_array | sparse.csc_array) -> Csr:
    return Csr(torch.from_numpy(matrix.indptr), torch.from_numpy(matrix.indices), torch.from_numpy(matrix.data))
