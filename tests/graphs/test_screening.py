from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignrec.graphs import knn
from alignrec.graphs.screening import by_row_then_largest, can_screen, screened_neighbors

K = 5
N_ITEMS = 1400  # enough groups for K


def unit_rows(features: np.ndarray) -> torch.Tensor:
    norm = np.maximum(np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True), 1e-12)
    return torch.from_numpy((features / norm).astype(np.float32))


def catalogue(kind: str, seed: int = 0, n_items: int = N_ITEMS) -> np.ndarray:
    """Features of several natures."""
    rng = np.random.default_rng(seed)
    random = rng.normal(size=(n_items, 24)).astype(np.float32)
    if kind == "all alike":  # cosines of .99 and more: bfloat16 alone knows three digits
        return random + 30
    if kind == "clusters":
        return random[rng.integers(0, 40, n_items)] + 0.02 * random
    if kind == "one-sided":
        return np.maximum(random, 0)
    if kind == "close calls":  # the best hundred of an item differ in the fifth digit
        return np.concatenate([random[: n_items // 2], random[np.arange(n_items - n_items // 2) % 14]]) + 1e-4 * random
    return random


KINDS = ["random", "all alike", "clusters", "one-sided", "close calls"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block_rows", [None, 333])
def test_the_neighbours_are_those_of_all_cosines(kind, block_rows):
    unit = unit_rows(catalogue(kind))
    items, products = screened_neighbors(unit, K, block_rows)
    cosines = unit.double().numpy() @ unit.double().numpy().T
    best = -np.sort(-cosines, axis=1)[:, :K]
    np.testing.assert_allclose(products, best, rtol=0, atol=5e-7)
    np.testing.assert_allclose(np.take_along_axis(cosines, items, axis=1), best, rtol=0, atol=5e-7)
    assert all(len(set(row)) == K for row in items.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_a_processor_with_bfloat16_finds_the_neighbours_that_another_finds(kind, monkeypatch):
    module = import_module("alignrec.graphs.knn")  # the package has a function of that name
    features = catalogue(kind)
    monkeypatch.setattr(module, "has_bfloat16_tiles", lambda: False)
    plain = knn(features, K)
    monkeypatch.setattr(module, "has_bfloat16_tiles", lambda: True)
    screened = knn(features, K)
    np.testing.assert_allclose(screened.similarities, plain.similarities, rtol=0, atol=1e-6)
    unit = unit_rows(features).double().numpy()
    cosines = unit @ unit.T
    here, there = (np.take_along_axis(cosines, graph.indices, axis=1) for graph in (screened, plain))
    np.testing.assert_allclose(here, there, rtol=0, atol=5e-7)  # two items that close may change places


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 1000), st.integers(1, 2), st.integers(50, 700))
def test_no_neighbour_is_lost_whatever_the_features_and_blocks(kind, seed, k, block_rows):
    unit = unit_rows(catalogue(kind, seed, n_items=600))
    _, products = screened_neighbors(unit, k, block_rows)
    expected = torch.topk(unit.double() @ unit.double().t(), k, dim=1).values
    np.testing.assert_allclose(products, expected.numpy(), rtol=0, atol=5e-7)


def test_equal_cosines_are_ordered_by_index():
    rng = np.random.default_rng(3)
    kinds = rng.integers(0, 200, N_ITEMS)  # seven copies of each
    items, _ = screened_neighbors(unit_rows(rng.normal(size=(200, 24)).astype(np.float32)[kinds]), K)
    for kind, row in zip(kinds, items.tolist(), strict=True):
        copies = np.flatnonzero(kinds == kind)[:K].tolist()
        assert row[: len(copies)] == copies


def test_items_of_zeros_have_the_first_items_for_neighbours_and_are_nobodys():
    features = catalogue("random")
    features[[3, 700, N_ITEMS - 1]] = 0
    items, products = screened_neighbors(unit_rows(features), K)
    assert items[700].tolist() == list(range(K))
    assert not products[700].any()
    others = np.delete(items, [3, 700, N_ITEMS - 1], axis=0)
    assert not np.isin(others, [3, 700, N_ITEMS - 1]).any()


def test_a_catalogue_of_zeros_has_neighbours_too():
    items, products = screened_neighbors(torch.zeros(N_ITEMS, 4), K)
    assert (items == np.arange(K)).all()
    assert not products.any()


def test_the_first_look_leaves_few_items_to_multiply(monkeypatch):
    module = import_module("alignrec.graphs.screening")
    listed = []

    def counted(indptr, columns, x, y):
        listed.append(len(columns))
        return (x[np.repeat(np.arange(len(x)), indptr.diff())] * y[columns]).sum(1)

    monkeypatch.setattr(module, "listed_dots", counted)
    for kind in ("random", "all alike"):
        listed.clear()
        features = np.random.default_rng(5).normal(size=(4000, 128)).astype(np.float32)
        screened_neighbors(unit_rows(features + (20 if kind == "all alike" else 0)), K)
        assert K * 4000 <= sum(listed) < 5 * K * 4000


def test_few_items_or_many_neighbours_are_not_screened_nor_is_a_table_as_large_as_the_memory():
    assert can_screen(torch.empty(1280, 8), 5)
    assert not can_screen(torch.empty(1279, 8), 5)
    assert not can_screen(torch.empty(1280, 8), 6)
    assert not can_screen(torch.empty(200_000, 4096, device="meta"), 10)


def test_keys_sort_by_row_and_then_by_falling_value():
    rows = np.array([1, 0, 1, 0, 1, 0])
    values = np.array([0.5, -0.0, -2.0, 0.0, 3.0, -1.0], dtype=np.float32)
    order = np.argsort(by_row_then_largest(rows, values), kind="stable")
    assert order.tolist() == [1, 3, 5, 4, 0, 2]
