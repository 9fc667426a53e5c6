import numpy as np
import pytest
import torch
from scipy import sparse
from torch.autograd import gradcheck, gradgradcheck

from alignrec.errors import DataError
from alignrec.ops import SparseOperator, propagate_mean, propagate_mean_and_tail, propagate_mean_rows, spmm


@pytest.fixture(autouse=True)
def same_numbers_every_time():
    torch.manual_seed(0)


def random_matrix(n_rows: int, n_cols: int, density: float = 0.2, seed: int = 0) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(n_rows, n_cols)) * (rng.random((n_rows, n_cols)) < density)
    dense[min(2, n_rows - 1)] = 0.0  # an empty row
    return sparse.csr_array(dense.astype(np.float32))


def symmetric_matrix(n: int, seed: int = 0) -> sparse.csr_array:
    half = random_matrix(n, n, seed=seed)
    return sparse.csr_array(half + half.T)


def plain_mean(dense: torch.Tensor, x: torch.Tensor, n_layers: int) -> torch.Tensor:
    """The stack of layers that the fast version never makes."""
    coo = dense.to_sparse_coo()
    layers = [x]
    for _ in range(n_layers):
        layers.append(torch.sparse.mm(coo, layers[-1]))
    return torch.stack(layers, dim=1).mean(dim=1)


def dense_of(matrix: sparse.csr_array, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(matrix.toarray()).to(dtype)


def values_and_gradients(function, x: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    result = function(x)
    (gradient,) = torch.autograd.grad((result * weights).sum(), x)
    return result.detach(), gradient


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_spmm_is_the_coordinate_product_in_value_and_gradient(dtype, tolerance):
    matrix = random_matrix(30, 20)
    x, weights = torch.randn(20, 7, dtype=dtype), torch.randn(30, 7, dtype=dtype)
    coo = dense_of(matrix, dtype).to_sparse_coo()
    operator = SparseOperator.from_scipy(matrix)
    ours = values_and_gradients(lambda t: spmm(operator, t), x, weights)
    plain = values_and_gradients(lambda t: torch.sparse.mm(coo, t), x, weights)
    torch.testing.assert_close(ours, plain, rtol=0, atol=tolerance)


def test_spmm_gradients_match_finite_differences_twice():
    operator = SparseOperator.from_scipy(random_matrix(6, 5, density=0.5)).double()
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda t: spmm(operator, t), (x,))
    assert gradgradcheck(lambda t: spmm(operator, t) ** 2, (x,))


def test_an_empty_row_gives_zeros_and_an_empty_matrix_a_table_of_zeros():
    operator = SparseOperator.from_scipy(random_matrix(5, 4, density=1.0))
    assert spmm(operator, torch.ones(4, 3))[2].tolist() == [0.0, 0.0, 0.0]
    nothing = SparseOperator.from_scipy(sparse.csr_array((3, 4), dtype=np.float32))
    x = torch.ones(4, 2, requires_grad=True)
    result = spmm(nothing, x)
    result.sum().backward()
    assert result.shape == (3, 2)
    assert not result.any()
    assert not x.grad.any()


def test_duplicate_entries_are_summed():
    matrix = sparse.csr_array((np.array([1.0, 2.0]), np.array([1, 1]), np.array([0, 2])), shape=(1, 2))
    operator = SparseOperator.from_scipy(matrix)
    assert operator.nnz == 1
    assert spmm(operator, torch.tensor([[0.0], [10.0]])).item() == 30.0
    assert matrix.data.tolist() == [1.0, 2.0]  # the caller's matrix stays as it was


def test_the_product_may_be_wanted_for_some_rows_only():
    matrix, rows = random_matrix(30, 20), torch.tensor([4, 2, 29, 4])
    operator = SparseOperator.from_scipy(matrix)
    x, weights = torch.randn(20, 7), torch.randn(4, 7)
    ours = values_and_gradients(lambda t: spmm(operator, t, rows), x, weights)
    plain = values_and_gradients(lambda t: (dense_of(matrix, torch.float32) @ t)[rows], x, weights)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_layer_mean_is_the_mean_of_the_stacked_layers(n_layers, symmetric, dtype, tolerance):
    matrix = symmetric_matrix(15) if symmetric else random_matrix(15, 15)
    matrix = sparse.csr_array(matrix / np.abs(matrix.toarray()).sum(axis=1).max())
    operator = SparseOperator.from_scipy(matrix, symmetric=symmetric)
    x, weights = torch.randn(15, 4, dtype=dtype), torch.randn(15, 4, dtype=dtype)
    dense = dense_of(sparse.csr_array(matrix.astype(np.float32)), dtype)
    ours = values_and_gradients(lambda t: propagate_mean(operator, t, n_layers) * 1.0, x, weights)
    plain = values_and_gradients(lambda t: plain_mean(dense, t, n_layers), x, weights)
    torch.testing.assert_close(ours, plain, rtol=0, atol=tolerance)


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3])
@pytest.mark.parametrize("uses", ["mean", "own", "both"])
def test_layer_mean_of_some_rows_is_those_rows_of_the_layer_mean(n_layers, uses):
    operator = SparseOperator.from_scipy(random_matrix(15, 15))
    rows = torch.tensor([3, 14, 3, 0])
    x, weights = torch.randn(15, 4), torch.randn(4, 4)

    def pick(own: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        return {"mean": mean, "own": own * 3, "both": own * 3 + mean}[uses]

    ours = values_and_gradients(lambda t: pick(*propagate_mean_rows(operator, t, n_layers, rows)), x, weights)
    plain = values_and_gradients(lambda t: pick(t[rows], propagate_mean(operator, t, n_layers)[rows]), x, weights)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3])
@pytest.mark.parametrize("uses", ["mean", "tail", "both"])
def test_the_tail_beside_the_layer_mean_is_the_last_rows(n_layers, uses):
    operator = SparseOperator.from_scipy(random_matrix(15, 15))
    rows, start = torch.tensor([3, 14, 3, 0]), 11
    x, weights = torch.randn(15, 4), torch.randn(4, 4)

    def pick(mean: torch.Tensor, tail: torch.Tensor) -> torch.Tensor:
        return {"mean": mean, "tail": tail * 3, "both": tail * 3 + mean}[uses]

    ours = values_and_gradients(
        lambda t: pick(*propagate_mean_and_tail(operator, t, n_layers, rows, start)), x, weights
    )
    plain = values_and_gradients(lambda t: pick(propagate_mean(operator, t, n_layers)[rows], t[start:]), x, weights)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


def test_layer_mean_gradients_match_finite_differences():
    operator = SparseOperator.from_scipy(random_matrix(6, 6, density=0.5)).double()
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    rows = torch.tensor([5, 1, 1])
    assert gradcheck(lambda t: propagate_mean(operator, t, 2), (x,))
    assert gradcheck(lambda t: propagate_mean_rows(operator, t, 2, rows), (x,))
    assert gradcheck(lambda t: propagate_mean_and_tail(operator, t, 2, rows, 4), (x,))


def test_the_same_product_gives_the_same_bytes():
    operator = SparseOperator.from_scipy(random_matrix(200, 100))
    x = torch.randn(100, 64)
    assert torch.equal(spmm(operator, x), spmm(operator, x))


def test_an_operator_moves_with_its_model_and_is_not_saved_with_it():
    model = torch.nn.Module()
    model.graph = SparseOperator.from_scipy(random_matrix(5, 4))
    assert model.state_dict() == {}
    assert model.double().graph.values.dtype is torch.float64
    assert model.graph.indices.dtype is torch.int32


def test_a_symmetric_operator_stores_its_entries_once():
    matrix = symmetric_matrix(10)
    once = SparseOperator.from_scipy(matrix, symmetric=True)
    assert once.nnz == matrix.nnz
    assert sum(b.numel() for n, b in once.named_buffers() if n.endswith("values")) == matrix.nnz


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SparseOperator.from_scipy(random_matrix(3, 4), symmetric=True), "cannot be symmetric"),
        (lambda: SparseOperator.from_scipy(sparse.csr_array(np.array([[np.nan]]))), "finite"),
        (lambda: spmm(SparseOperator.from_scipy(random_matrix(3, 4)), torch.ones(3, 2)), "cannot multiply"),
        (lambda: propagate_mean(SparseOperator.from_scipy(random_matrix(3, 4)), torch.ones(4, 2), 1), "square"),
        (lambda: propagate_mean(SparseOperator.from_scipy(random_matrix(3, 3)), torch.ones(3, 2), -1), "n_layers"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(call, words):
    with pytest.raises(DataError, match=words):
        call()


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu():
    operator = SparseOperator.from_scipy(symmetric_matrix(50), symmetric=True)
    x, weights, rows = torch.randn(50, 8), torch.randn(50, 8), torch.tensor([1, 40])
    there = SparseOperator.from_scipy(symmetric_matrix(50), symmetric=True).cuda()
    for here, cuda, w in (
        (lambda t: propagate_mean(operator, t, 2), lambda t: propagate_mean(there, t, 2), weights),
        (lambda t: spmm(operator, t, rows), lambda t: spmm(there, t, rows.cuda()), weights[:2]),
        (
            lambda t: propagate_mean_rows(operator, t, 2, rows)[1],
            lambda t: propagate_mean_rows(there, t, 2, rows.cuda())[1],
            weights[:2],
        ),
    ):
        expected = values_and_gradients(here, x, w)
        found = values_and_gradients(cuda, x.cuda(), w.cuda())
        torch.testing.assert_close([t.cpu() for t in found], list(expected), rtol=1e-4, atol=1e-4)
