import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from scipy import sparse

from alignrec.errors import UsageError
from alignrec.graphs import co_occurrence


def dense_reference(taken: np.ndarray, k: int) -> np.ndarray:
    """The whole matrix of counts, each row cut to its k largest."""
    counts = taken @ taken.T
    np.fill_diagonal(counts, 0)
    kept = np.zeros_like(counts)
    for user, row in enumerate(counts):
        best = sorted(np.flatnonzero(row), key=lambda other, row=row: (-row[other], other))[:k]
        kept[user, best] = row[best]
    return kept


def graph_of(taken: np.ndarray, k: int, **options: int) -> sparse.csr_array:
    return co_occurrence(sparse.csr_array(taken.astype(np.float32)), k, **options)


def test_users_with_most_items_in_common_by_hand() -> None:
    taken = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
    expected = [[0, 2, 1, 0, 0], [2, 0, 0, 1, 0], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0] * 5]
    assert graph_of(taken, 2).toarray().tolist() == expected


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.sampled_from([1, 20, 1 << 23]))
def test_blocks_of_users_give_what_the_whole_matrix_gives(seed, k, block_entries) -> None:
    rng = np.random.default_rng(seed)
    taken = (rng.random((rng.integers(1, 12), rng.integers(1, 9))) < rng.random()).astype(np.int64)
    graph = graph_of(taken, k, block_entries=block_entries)
    assert np.array_equal(graph.toarray(), dense_reference(taken, k))
    assert graph.has_sorted_indices


def test_counts_equal_those_of_the_authors_code(goldens) -> None:
    golden = load_file(goldens / "dualgnn.safetensors")
    found = graph_of(golden["input/train_matrix"].numpy().astype(np.int64), 60)
    assert np.array_equal(found.toarray(), golden["buffer/user_cooccurrence"].numpy())


def test_no_neighbour_is_refused() -> None:
    with pytest.raises(UsageError, match="a user must have at least 1 neighbour, not 0"):
        graph_of(np.eye(2), 0)
