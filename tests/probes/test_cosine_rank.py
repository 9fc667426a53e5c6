import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from alignrec.probes.cosine_rank import CosineSpace


def plain_ranks(matrix, queries, targets, excluded):
    """All cosines in double precision at once; count what is at least as high as the target."""

    def unit(rows):
        rows = rows.astype(np.float64)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    cosines = unit(queries) @ unit(matrix).T  # (B, I)
    goal = np.take_along_axis(cosines, targets[:, None], axis=1)
    return ((cosines >= goal - 1e-12) & ~excluded).sum(axis=1)


def ranks(matrix, queries, targets, excluded, **options):
    space = CosineSpace(matrix, **options)
    return space.ranks(queries.astype(np.float64), targets[:, None], sparse.csr_array(excluded, dtype=np.float32))[:, 0]


def case(seed, items=50, queries=20, size=6):
    rng = np.random.default_rng(seed)
    targets = rng.integers(items, size=queries)
    excluded = rng.random((queries, items)) < 0.2
    excluded[np.arange(queries), targets] = False
    return rng, targets, excluded, rng.standard_normal((items, size)).astype(np.float32)


def test_an_item_that_ties_with_the_target_stands_before_it():
    matrix = np.array([[1, 0], [2, 0], [0, 1], [-1, 0]], dtype=np.float32)
    query = np.array([[3.0, 0.0]])
    none = np.zeros((1, 4), dtype=bool)
    assert [int(ranks(matrix, query, np.array([t]), none)[0]) for t in range(4)] == [2, 2, 3, 4]


def test_the_cosine_of_a_query_and_an_item_does_not_depend_on_their_lengths():
    space = CosineSpace(np.array([[2, 0], [0, 0], [3, 4]], dtype=np.float32))
    queries = np.array([[5.0, 0.0], [0.0, 10.0]])
    found = space.cosines(queries, np.array([0, 0, 0, 1]), np.array([0, 1, 2, 2]))
    assert found.tolist() == pytest.approx([1, 0, 0.6, 0.8])


def test_excluded_items_are_not_counted():
    matrix = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1]], dtype=np.float32)
    excluded = np.array([[True, True, False, False]])
    assert ranks(matrix, np.array([[1.0, 0.0]]), np.array([2]), excluded) == [1]


def test_a_zero_query_ranks_every_target_last():
    _, targets, _, matrix = case(0, queries=3)
    none = np.zeros((3, 50), dtype=bool)
    assert list(ranks(matrix, np.zeros((3, 6)), targets, none)) == [50, 50, 50]


@pytest.mark.parametrize("seed", range(5))
def test_ranks_of_random_vectors_equal_sorting_all_cosines(seed):
    rng, targets, excluded, matrix = case(seed)
    queries = rng.standard_normal((20, 6))
    cosines = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ (
        matrix / np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True)
    ).T
    cosines[excluded] = -np.inf
    order = np.argsort(-cosines, axis=1)
    expected = np.argmax(order == targets[:, None], axis=1) + 1
    assert np.array_equal(ranks(matrix, queries, targets, excluded), expected)


@given(
    matrix=hnp.arrays(np.int8, st.tuples(st.integers(2, 30), st.integers(1, 4)), elements=st.integers(-2, 2)),
    data=st.data(),
)
def test_small_whole_numbers_full_of_ties_equal_the_plain_form(matrix, data):
    matrix = matrix.astype(np.float32)
    n_items, size = matrix.shape
    queries = data.draw(hnp.arrays(np.int8, (4, size), elements=st.integers(-3, 3))).astype(np.float64)
    targets = data.draw(hnp.arrays(np.int64, 4, elements=st.integers(0, n_items - 1)))
    excluded = data.draw(hnp.arrays(np.bool_, (4, n_items)))
    excluded[np.arange(4), targets] = False
    assert np.array_equal(ranks(matrix, queries, targets, excluded), plain_ranks(matrix, queries, targets, excluded))


@pytest.mark.parametrize("tile_items", [1, 7, 49, 50, 1000])
def test_ranks_do_not_depend_on_the_tile(tile_items):
    rng, targets, excluded, matrix = case(1)
    matrix[10:20] = matrix[3]  # ten copies of one vector
    queries = rng.standard_normal((20, 6))
    expected = plain_ranks(matrix, queries, targets, excluded)
    assert np.array_equal(ranks(matrix, queries, targets, excluded, tile_items=tile_items), expected)


def test_vectors_that_single_precision_confuses_are_told_apart():
    # All cosines lie within 1e-6 of 1, as with features that share one dominant direction.
    rng = np.random.default_rng(2)
    matrix = (np.ones((400, 32)) + 1e-3 * rng.standard_normal((400, 32))).astype(np.float32)
    queries = matrix[:50].astype(np.float64) + 1e-3 * rng.standard_normal((50, 32))
    targets, none = rng.integers(400, size=50), np.zeros((50, 400), dtype=bool)
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    single = queries.astype(np.float32) @ unit.T
    naive = (single >= np.take_along_axis(single, targets[:, None], axis=1)).sum(axis=1)
    expected = plain_ranks(matrix, queries, targets, none)
    assert not np.array_equal(naive, expected)
    assert np.array_equal(ranks(matrix, queries, targets, none), expected)
