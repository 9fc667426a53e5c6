import math

import numpy as np
import pytest
import torch
from scipy import sparse

from alignrec.errors import DataError
from alignrec.ops import Edges, edge_dots, edge_softmax, edge_sum, listed_dots

# Row 3 and column 4 have no edge
PATTERN = np.array([[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 0]], dtype=np.float32)
MASK = torch.from_numpy(PATTERN).bool()


@pytest.fixture
def edges() -> Edges:
    return Edges(sparse.csr_array(PATTERN))


def randoms(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=rng, dtype=torch.float64, requires_grad=True) for shape in shapes]


def dense_of(values: torch.Tensor) -> torch.Tensor:
    """The values of edges, row by row, at their places in the pattern."""
    return torch.zeros(MASK.shape, dtype=values.dtype).masked_scatter(MASK, values)


def test_dots_sums_and_shares_of_three_edges_by_hand() -> None:
    edges = Edges(sparse.csr_array(np.array([[1.0, 1.0], [0.0, 1.0]])))  # edges (0, 0), (0, 1), (1, 1)
    x, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0], [10.0, 1.0]])
    assert edge_dots(edges, x, y).tolist() == [1.0, 12.0, 34.0]
    values = torch.tensor([2.0, 1.0, 0.5])
    assert edge_sum(edges, values, y).tolist() == [[12.0, 1.0], [5.0, 0.5]]
    assert edge_sum(edges, values, x, transposed=True).tolist() == [[2.0, 4.0], [2.5, 4.0]]
    scores = torch.tensor([0.0, math.log(3.0), 0.0])
    torch.testing.assert_close(edge_softmax(edges, scores), torch.tensor([0.25, 0.75, 1.0]))
    torch.testing.assert_close(edge_softmax(edges, scores, transposed=True), torch.tensor([1.0, 0.75, 0.25]))


def test_dots_and_their_gradients_equal_the_dense_product(edges) -> None:
    x, y, weights = randoms((4, 3), (5, 3), (7,))
    found, expected = edge_dots(edges, x, y), (x @ y.t())[MASK]
    torch.testing.assert_close(found, expected)
    ours, plain = (torch.autograd.grad((part * weights).sum(), (x, y)) for part in (found, expected))
    torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dots_of_listed_columns_are_entries_of_the_dense_product(dtype) -> None:
    x, y = (table.to(dtype) for table in randoms((4, 3), (5, 3)))
    indptr, columns = torch.tensor([0, 2, 2, 5, 5]), torch.tensor([4, 1, 0, 3, 2])  # in any order, rows without one
    found = listed_dots(indptr, columns, x, y)
    dense = x @ y.t()
    expected = torch.stack([dense[0, 4], dense[0, 1], dense[2, 0], dense[2, 3], dense[2, 2]])
    torch.testing.assert_close(found, expected.detach())
    assert not found.requires_grad
    assert listed_dots(torch.zeros(5, dtype=torch.int64), columns[:0], x, y).numel() == 0


@pytest.mark.parametrize("transposed", [False, True])
def test_sums_and_their_gradients_equal_the_dense_product(edges, transposed) -> None:
    values, dense, weights = randoms((7,), (4 if transposed else 5, 3), (5 if transposed else 4, 3))
    matrix = dense_of(values)
    found = edge_sum(edges, values, dense, transposed=transposed)
    expected = (matrix.t() if transposed else matrix) @ dense
    torch.testing.assert_close(found, expected)
    ours, plain = (torch.autograd.grad((part * weights).sum(), (values, dense)) for part in (found, expected))
    torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("transposed", [False, True])
def test_shares_and_their_gradients_equal_the_dense_softmax(edges, transposed) -> None:
    scores, weights = randoms((7,), (7,))
    found = edge_softmax(edges, scores, transposed=transposed)
    masked = dense_of(scores).masked_fill(~MASK, -torch.inf)
    expected = torch.softmax(masked, dim=0 if transposed else 1)[MASK]
    torch.testing.assert_close(found, expected)
    ours, plain = (torch.autograd.grad((part * weights).sum(), scores)[0] for part in (found, expected))
    torch.testing.assert_close(ours, plain)


def test_large_scores_do_not_overflow(edges) -> None:
    shares = edge_softmax(edges, torch.full((7,), 1e4))
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.5, 1.0, 0.25, 0.25, 0.25, 0.25]))


def test_only_the_wanted_side_gets_a_gradient_in_its_own_number_type(edges) -> None:
    x, y = (table.detach().float() for table in randoms((4, 3), (5, 3)))
    x.requires_grad_()
    edge_sum(edges, edge_dots(edges, x, y), y).sum().backward()
    assert x.grad.dtype is torch.float32
    assert y.grad is None


def test_a_graph_without_edges_gives_zeros() -> None:
    edges = Edges(sparse.csr_array((2, 3), dtype=np.float32))
    x, y = torch.ones(2, 4, requires_grad=True), torch.ones(3, 4)
    sums = edge_sum(edges, edge_softmax(edges, edge_dots(edges, x, y)), y)
    sums.sum().backward()
    assert torch.equal(sums, torch.zeros(2, 4))
    assert torch.equal(x.grad, torch.zeros(2, 4))


def test_tables_that_do_not_fit_are_refused(edges) -> None:
    with pytest.raises(DataError, match=r"edges of shape \(4, 5\) have no tables of shapes \(4, 3\) and \(4, 3\)"):
        edge_dots(edges, torch.ones(4, 3), torch.ones(4, 3))
    with pytest.raises(
        DataError, match=r"7 edges and 5 nodes do not fit values of shape \(7,\) and a table .*\(4, 3\)"
    ):
        edge_sum(edges, torch.ones(7), torch.ones(4, 3))
    with pytest.raises(DataError, match=r"7 edges and 5 nodes do not fit values of shape \(6,\)"):
        edge_sum(edges, torch.ones(6), torch.ones(5, 3))


def test_edges_move_with_a_model_and_are_not_saved(edges) -> None:
    assert edges.state_dict() == {}
    assert {name for name, _ in edges.named_buffers()} >= {"rows", "columns"}
    assert "n_edges=7" in repr(edges)
