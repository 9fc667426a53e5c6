import numpy as np
import pytest
import torch
from scipy import sparse

from alignrec.ops.compressed_rows import Csr, select_rows, transpose
from tests.another_device import another_device

ROWS = torch.tensor([4, 0, 2, 4])  # unsorted, one twice, one (2) empty


@pytest.fixture
def matrix():
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(6, 5)) * (rng.random((6, 5)) < 0.5)
    dense[2], dense[:, 3] = 0, 0
    return sparse.csr_array(dense.astype(np.float32))


def csr_of(matrix, index_type=torch.int32):
    indptr, indices = (torch.from_numpy(array).to(index_type) for array in (matrix.indptr, matrix.indices))
    return Csr(indptr, indices, torch.from_numpy(matrix.data))


def dense_of(csr, n_cols):
    arrays = [part.cpu().numpy() for part in (csr.values, csr.indices, csr.indptr)]
    return sparse.csr_array(tuple(arrays), shape=(len(arrays[2]) - 1, n_cols)).toarray()


@pytest.mark.parametrize("index_type", [torch.int32, torch.int64])
def test_rows_and_transpose_are_those_of_the_dense_matrix_on_any_device(matrix, index_type):
    csr, dense = csr_of(matrix, index_type), matrix.toarray()
    np.testing.assert_array_equal(dense_of(select_rows(csr, 5, ROWS), 5), dense[ROWS])
    np.testing.assert_array_equal(dense_of(transpose(csr, 5), 6), dense.T)
    with another_device() as device:
        there = Csr(*(part.to(device) for part in csr))
        chosen, turned = select_rows(there, 5, ROWS.to(device)), transpose(there, 5)
        assert {part.device for part in (*chosen, *turned)} == {device}
        assert {part.dtype for part in (*chosen[:2], *turned[:2])} == {index_type}
        np.testing.assert_array_equal(dense_of(chosen, 5), dense[ROWS])
        np.testing.assert_array_equal(dense_of(turned, 6), dense.T)


def test_no_rows_of_a_matrix_without_entries():
    empty = csr_of(sparse.csr_array((3, 4), dtype=np.float32))
    for device in ("cpu", "there"):
        with another_device() as place:
            where = place if device == "there" else torch.device("cpu")
            csr = Csr(*(part.to(where) for part in empty))
            assert dense_of(select_rows(csr, 4, torch.zeros(0, dtype=torch.int64, device=where)), 4).shape == (0, 4)
            assert dense_of(transpose(csr, 4), 3).shape == (4, 3)
