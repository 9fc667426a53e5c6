import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from scipy import sparse

from alignrec.graphs import (
    degrees,
    mean_adjacency,
    mean_interactions,
    normalized_adjacency,
    normalized_interactions,
    random_walk_adjacency,
)
from alignrec.ops import SparseOperator


def interactions(dense) -> sparse.csr_array:
    return sparse.csr_array(np.asarray(dense, dtype=np.float32))


def dense_of(operator: SparseOperator) -> torch.Tensor:
    return operator(torch.eye(operator.shape[1], dtype=torch.float64))


def test_degrees_count_interactions_of_users_and_of_items():
    users, items = degrees(interactions([[1, 1, 0], [0, 1, 0]]))
    assert users.tolist() == [2, 1]
    assert items.tolist() == [1, 2, 0]


def test_an_edge_weighs_one_over_the_root_of_both_degrees():
    found = dense_of(normalized_interactions(interactions([[1, 1], [0, 1]])))
    expected = torch.tensor([[1 / 2**0.5, 1 / 2], [0.0, 1 / 2**0.5]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_nodes_without_an_edge_are_zero_and_not_nan():
    found = dense_of(normalized_adjacency(interactions([[1, 0], [0, 0]])))
    assert found.nonzero().tolist() == [[0, 2], [2, 0]]
    assert found[0, 2] == 1.0


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_the_adjacency_is_the_textbook_formula(n_users, n_items, data):
    cells = data.draw(st.lists(st.booleans(), min_size=n_users * n_items, max_size=n_users * n_items))
    R = np.array(cells, dtype=np.float64).reshape(n_users, n_items)
    A = np.block([[np.zeros((n_users, n_users)), R], [R.T, np.zeros((n_items, n_items))]])
    d = A.sum(axis=1)
    scale = np.where(d > 0, 1 / np.sqrt(np.maximum(d, 1)), 0.0)
    found = dense_of(normalized_adjacency(interactions(R))).numpy()
    np.testing.assert_allclose(found, scale[:, None] * A * scale[None, :], rtol=0, atol=1e-7)
    np.testing.assert_array_equal(found, found.T)


def test_stored_counts_do_not_weigh_the_edges():
    twice = interactions([[2, 1]])
    torch.testing.assert_close(
        dense_of(normalized_interactions(twice)), dense_of(normalized_interactions(interactions([[1, 1]])))
    )


def test_graphs_equal_those_of_the_authors_code(goldens):
    tensors = load_file(goldens / "alignrec.safetensors")
    R = sparse.csr_array(tensors["input/train_matrix"].numpy().astype(np.float32))
    adjacency = dense_of(normalized_adjacency(R))
    torch.testing.assert_close(adjacency, tensors["buffer/norm_adj"], rtol=0, atol=1e-6)
    torch.testing.assert_close(dense_of(normalized_interactions(R)), tensors["buffer/R"], rtol=0, atol=1e-6)
    lightgcn = load_file(goldens / "lightgcn.safetensors")["buffer/norm_adj_matrix"]  # degrees + 1e-7 there
    torch.testing.assert_close(adjacency, lightgcn, rtol=0, atol=1e-6)


def test_the_mean_over_a_users_items_by_hand():
    found = dense_of(mean_interactions(interactions([[1, 1, 0], [0, 0, 0], [0, 0, 1]])))
    expected = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    assert torch.equal(found, expected)


def test_a_random_walk_may_stay_where_it_is():
    found = dense_of(random_walk_adjacency(interactions([[1, 1], [0, 0]])))  # users 0 and 1, items 0 and 1
    third = 1 / 3
    expected = [[third, 0, third, third], [0, 1, 0, 0], [0.5, 0, 0.5, 0], [0.5, 0, 0, 0.5]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (normalized_adjacency, (5, 5)),
        (random_walk_adjacency, (5, 5)),
        (mean_adjacency, (5, 5)),
        (normalized_interactions, (2, 3)),
        (mean_interactions, (2, 3)),
    ],
)
def test_the_last_user_and_the_last_item_have_a_place_even_if_nobody_met_them(build, shape):
    assert build(interactions([[1, 1, 0], [0, 0, 0]])).shape == shape


def test_the_random_walk_equals_the_authors_of_lattice(goldens):
    golden = load_file(goldens / "lattice.safetensors")
    found = dense_of(random_walk_adjacency(sparse.csr_array(golden["input/train_matrix"].numpy().astype(np.float32))))
    torch.testing.assert_close(found, golden["buffer/norm_adj"], rtol=0, atol=1e-7)


def test_the_mean_over_neighbours_leaves_the_node_itself_out():
    found = dense_of(mean_adjacency(interactions([[1, 1], [0, 1], [0, 0]])))  # users 0 to 2, items 0 and 1
    expected = [[0, 0, 0, 0.5, 0.5], [0, 0, 0, 0, 1], [0] * 5, [1, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0]]
    assert torch.equal(found, torch.tensor(expected, dtype=torch.float64))
