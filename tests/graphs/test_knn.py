from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from alignrec.errors import FeatureError
from alignrec.graphs import knn, knn_operator, mixed_knn_operator


def plain_knn(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All cosines at once, every row sorted by falling cosine, then by index, and never without the row itself."""
    norm = np.maximum(np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True), 1e-12)
    cosines = (features / norm) @ (features / norm).T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    for row, listed in enumerate(order):
        if row not in listed:
            listed[-1] = row
    return order, np.take_along_axis(cosines, order, axis=1)


def dense_of(operator) -> np.ndarray:
    return operator(torch.eye(operator.shape[1], dtype=torch.float64)).numpy()


@pytest.mark.parametrize("block_rows", [None, 1, 7, 64, 1000])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_neighbours_are_those_of_the_dense_cosine_matrix(block_rows, k):
    features = np.random.default_rng(0).normal(size=(90, 12)).astype(np.float32)
    graph = knn(features, k, block_rows=block_rows)
    order, cosines = plain_knn(features, k)
    np.testing.assert_array_equal(graph.indices, order)
    np.testing.assert_allclose(graph.similarities, cosines, rtol=0, atol=1e-6)


def test_an_item_is_its_own_nearest_neighbour():
    features = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    graph = knn(features, 3)
    assert graph.indices[:, 0].tolist() == list(range(20))
    np.testing.assert_allclose(graph.similarities[:, 0], 1.0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=25), st.integers(1, 4), st.integers(1, 9))
def test_equal_cosines_are_ordered_by_index_whatever_the_blocks(kinds, k, block_rows):
    features = np.eye(4, dtype=np.float32)[kinds]  # many exact ties: cosines are 0 or 1
    graph = knn(features, k, block_rows=block_rows)
    order, cosines = plain_knn(features, k)
    np.testing.assert_array_equal(graph.indices, order)
    np.testing.assert_array_equal(graph.similarities, cosines)


def test_of_many_rows_alike_each_lists_itself():
    """Items without a picture that all got the mean one: each keeps its own vector in the graph, the last of its k."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(60, 8)).astype(np.float32)
    features[20:40] = features[20:40].mean(axis=0)
    graph = knn(features, 5, block_rows=7)
    assert (graph.indices == np.arange(60)[:, None]).any(axis=1).all()
    assert graph.indices[22].tolist() == [20, 21, 22, 23, 24]
    assert graph.indices[33].tolist() == [20, 21, 22, 23, 33]
    weights = dense_of(knn_operator(features, 5))
    assert (weights.diagonal() > 0).all()


def test_negative_cosines_and_zero_rows_take_their_place():
    features = np.array([[1, 0], [-1, 0], [0, 0], [-1, 0.1]], dtype=np.float32)
    graph = knn(features, 4, block_rows=2)
    order, _ = plain_knn(features, 4)
    np.testing.assert_array_equal(graph.indices, order)
    assert graph.similarities[2].tolist() == [0.0] * 4


def test_no_more_cosines_exist_at_a_time_than_one_block_of_rows(monkeypatch):
    module = import_module("alignrec.graphs.knn")  # the package has a function of that name
    sizes = []

    def recorded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        sizes.append(a.shape[0] * b.shape[1])
        return a @ b

    monkeypatch.setattr(module, "matmul", recorded)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 4 * 10 * 300)
    features = np.random.default_rng(2).normal(size=(300, 8)).astype(np.float32)
    np.testing.assert_array_equal(knn(features, 5).indices, plain_knn(features, 5)[0])
    assert max(sizes) <= 10 * 300
    assert sum(sizes) < 0.6 * 300 * 300  # and every pair is multiplied once


def test_scaling_in_place_finds_the_same_neighbours_without_a_copy():
    features = np.random.default_rng(5).normal(size=(50, 7)).astype(np.float32)
    used_up = features.copy()
    found, expected = knn(used_up, 6, overwrite=True), knn(features, 6)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.similarities, expected.similarities)
    np.testing.assert_allclose(np.linalg.norm(used_up, axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("features", "k", "words"),
    [
        (np.full((3, 2), np.nan), 1, "NaN"),
        (np.ones((3, 2)), 4, "4 neighbours"),
        (np.ones((3, 2)), 0, "0 neighbours"),
        (np.ones(3), 1, "matrix"),
    ],
)
def test_what_has_no_neighbours_is_refused_in_words(features, k, words):
    with pytest.raises(FeatureError, match=words):
        knn(features.astype(np.float32), k)


def test_cosine_weights_are_divided_by_the_roots_of_both_row_sums():
    features = np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32)
    c = 0.5**0.5
    sums = np.array([1 + c, 1 + c, 1 + c])  # each row keeps itself and one more; item 1 ties and keeps item 0
    kept = np.array([[1, c, 0], [c, 1, 0], [0, c, 1]])
    np.testing.assert_allclose(dense_of(knn_operator(features, 2)), kept / np.sqrt(np.outer(sums, sums)), atol=1e-6)


def test_binary_weights_are_one_over_k():
    features = np.random.default_rng(3).normal(size=(12, 4)).astype(np.float32)
    found = dense_of(knn_operator(features, 4, weighting="binary"))
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)
    assert set(np.round(found.ravel(), 6)) == {0.0, 0.25}


def test_an_item_whose_similarities_do_not_add_up_to_anything_is_cut_off():
    features = np.array([[0, 0], [1, 0], [1, 0.5]], dtype=np.float32)
    found = dense_of(knn_operator(features, 2))
    assert np.isfinite(found).all()
    assert not found[0].any()


def test_the_item_graph_equals_that_of_the_authors_code(goldens):
    features = np.load(goldens / "unified_feat.npy", allow_pickle=False)
    golden = load_file(goldens / "alignrec.safetensors")["buffer/mm_original_adj"].numpy()
    found = dense_of(knn_operator(features, 5))
    np.testing.assert_array_equal(found != 0, golden != 0)
    np.testing.assert_allclose(found, golden, rtol=0, atol=1e-6)


def test_a_mixed_graph_is_the_weighted_sum_and_equals_the_authors_of_freedom(goldens):
    golden = load_file(goldens / "freedom.safetensors")
    features = {name: np.load(goldens / f"{name}_feat.npy", allow_pickle=False) for name in ("image", "text")}
    found = mixed_knn_operator(features, {"image": 0.3, "text": 0.7}, 5, "binary")
    np.testing.assert_allclose(dense_of(found), golden["buffer/mm_adj"].numpy(), rtol=0, atol=1e-6)


def test_an_item_of_zeros_has_no_neighbours_and_its_place_in_the_catalogue_does_not_matter():
    features = np.random.default_rng(4).normal(size=(12, 4)).astype(np.float32)
    features[7] = 0
    found = dense_of(knn_operator(features, 4, weighting="binary"))
    assert not found[7].any()
    order = np.roll(np.arange(12), 5)
    moved = dense_of(knn_operator(features[order], 4, weighting="binary"))
    np.testing.assert_array_equal(moved, found[np.ix_(order, order)])


def test_a_modality_without_a_share_is_not_in_the_mixed_graph():
    rng = np.random.default_rng(0)
    features = {name: rng.normal(size=(12, 4)).astype(np.float32) for name in ("a", "b")}
    found = mixed_knn_operator(features, {"a": 1.0, "b": 0.0}, 3)
    np.testing.assert_array_equal(dense_of(found), dense_of(knn_operator(features["a"], 3)))
