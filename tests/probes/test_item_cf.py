import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from alignrec.errors import DataError, FeatureError
from alignrec.features import FeatureTable
from alignrec.probes import item_cf


def table(matrix):
    matrix = np.asarray(matrix, dtype=np.float32)
    return FeatureTable("f", "test", [str(i) for i in range(len(matrix))], matrix)


def csr(dense):
    return sparse.csr_array(np.asarray(dense, dtype=np.float32))


def plain(matrix, dense):
    """The whole score and cosine matrices: item -> (rank of the first target, best rank of all targets)."""
    matrix, shared = matrix.astype(np.float64), dense.T.astype(np.int64) @ dense.astype(np.int64)
    degrees, found = np.diag(shared), {}
    norms = np.maximum(np.linalg.norm(matrix, axis=1), 1e-12)
    cosines = matrix @ matrix.T / np.outer(norms, norms)
    for j in range(len(matrix)):
        others = [i for i in range(len(matrix)) if i != j and shared[i, j]]
        if not others:
            continue
        # s_ij² |U_j| as an integer comparison: |U_i ∩ U_j|² / |U_i|
        best = [
            i for i in others if all(shared[i, j] ** 2 * degrees[k] >= shared[k, j] ** 2 * degrees[i] for k in others)
        ]
        candidates = [i for i in range(len(matrix)) if i != j]
        ranks = [sum(cosines[j, c] >= cosines[j, i] - 1e-12 for c in candidates) for i in best]
        found[j] = (ranks[0], min(ranks))
    return found


def as_dict(result):
    pairs = zip(result.ranks.tolist(), result.tied_ranks.tolist(), strict=True)
    return dict(zip(result.cases.tolist(), pairs, strict=True))


def test_a_worked_example():
    # Users of item 0: {0,1,2}, item 1: {0,1}, item 2: {2,3}, item 3: {3}.
    # s_01 = 2/√6 = .82, s_02 = 1/√6 = .41, s_23 = 1/√2 = .71: the targets are 0→1, 1→0, 2→3, 3→2.
    dense = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1]])
    features = table([[1, 0], [1, 0.2], [0.9, 0.5], [0, 1]])
    result = item_cf(features, csr(dense), ks=[1, 2])
    # Nearest by cosine: 0: 1 2 3; 1: 0 2 3 (cosines .98, .95, .20); 2: 1 0 3; 3: 2 1 0.
    assert as_dict(result) == {0: (1, 1), 1: (1, 1), 2: (3, 3), 3: (1, 1)}
    assert result.recall(1) == 0.75
    assert result.chance(1) == pytest.approx(1 / 3)


def test_equal_scores_take_the_smallest_index_and_the_kinder_value_is_reported_too():
    # One user took all three items: every pair has score 1. For item 0 the target is 1, yet 2 is closer.
    result = item_cf(table([[1, 0], [0, 1], [1, 0.1]]), csr([[1, 1, 1]]), ks=[1])
    assert as_dict(result) == {0: (2, 1), 1: (2, 1), 2: (1, 1)}
    assert (result.recall(1), result.tied_recall(1)) == (pytest.approx(1 / 3), 1.0)


def test_items_that_share_no_user_are_skipped():
    result = item_cf(table(np.eye(4)), csr([[1, 1, 0, 0], [0, 0, 1, 0]]))
    assert (list(result.cases), result.skipped) == ([0, 1], 2)


@given(
    seed=st.integers(0, 10_000),
    users=st.integers(1, 12),
    items=st.integers(2, 12),
    density=st.sampled_from([0.1, 0.3, 0.7]),
)
def test_small_logs_equal_the_plain_form_for_every_tile(seed, users, items, density):
    rng = np.random.default_rng(seed)
    dense = (rng.random((users, items)) < density).astype(np.int64)
    matrix = rng.integers(-2, 3, size=(items, 2)).astype(np.float32)
    expected = plain(matrix, dense)
    if not expected:
        with pytest.raises(DataError, match="no two items share a user"):
            item_cf(table(matrix), csr(dense))
        return
    for tile_items, tile_pairs in [(256, 1_000_000), (1, 1), (5, 30)]:
        result = item_cf(table(matrix), csr(dense), tile_items=tile_items, tile_pairs=tile_pairs)
        assert as_dict(result) == expected
        assert result.skipped == items - len(expected)


def test_random_features_score_at_chance():
    rng = np.random.default_rng(5)
    dense = (rng.random((300, 500)) < 0.02).astype(np.int64)
    result = item_cf(table(rng.standard_normal((500, 32))), csr(dense), ks=[50])
    assert abs(result.recall(50) - result.chance(50)) < 4 * result.standard_error(50)
    assert result.chance(50) == pytest.approx(50 / 499)


def test_features_made_of_the_interactions_themselves_recall_every_target():
    rng = np.random.default_rng(6)
    dense = (rng.random((200, 60)) < 0.1).astype(np.int64)
    result = item_cf(table(dense.T), csr(dense), ks=[1])
    assert result.tied_recall(1) > 0.9  # the cosine of the columns is the item-CF score: only ties can be missed


def test_another_number_of_rows_is_refused():
    with pytest.raises(FeatureError, match="2 rows for 3 items"):
        item_cf(table(np.eye(2)), csr([[1, 1, 1]]))
