import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from alignrec.errors import UsageError
from alignrec.ranking import item_knn


def dense(train, n_neighbors, shrink=0.0):
    """The formula, written out: scores (U, I) with the user's own items at -1."""
    norms = np.sqrt(train.sum(axis=0))
    cosines = (train.T @ train) / np.maximum(np.outer(norms, norms) + shrink, 1e-12)
    np.fill_diagonal(cosines, 0)
    for row in cosines:
        row[np.argsort(-row, kind="stable")[n_neighbors:]] = 0
    scores = train @ cosines.T
    scores[train > 0] = -1
    return scores


def test_what_is_bought_together_is_recommended():
    train = sparse.csr_array(np.array([[1, 1, 0, 0], [1, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]], dtype=np.float32))
    ranking = item_knn(train, 2, shrink=0)
    assert ranking.items.tolist() == [[3, -1], [-1, -1], [1, 3], [-1, -1]]
    assert ranking.scores[2].tolist() == pytest.approx([2 / 6**0.5, 1 / 3**0.5])
    assert ranking.scores[3].tolist() == [-np.inf, -np.inf]  # as `top_k` fills an empty place


def test_a_copy_of_users_and_items_far_behind_gets_the_same_lists():
    part = sparse.coo_array(np.random.default_rng(0).random((30, 20)) < 0.3)
    first, last = part.coords, (part.row + 1010, part.col + 1015)  # beyond the 1024 that are looked at together
    users, items = np.concatenate([first, last], axis=1)
    train = sparse.csr_array((np.ones(len(users)), (users, items)), shape=(1040, 1035))
    ranking = item_knn(train, 5, n_neighbors=4, shrink=1)
    listed = ranking.items[:30]
    assert (listed >= 0).any()
    assert ranking.items[1010:].tolist() == listed.where(listed < 0, listed + 1015).tolist()
    assert ranking.scores[1010:].tolist() == ranking.scores[:30].tolist()


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 9), st.sampled_from([0.0, 0.5, 10.0]))
def test_lists_are_those_of_the_written_out_formula(seed, k, n_neighbors, shrink):
    rng = np.random.default_rng(seed)
    train = (rng.random((12, 8)) < 0.35).astype(np.float64)
    found = item_knn(sparse.csr_array(train), k, n_neighbors=n_neighbors, shrink=shrink)
    written = dense(train, n_neighbors, shrink)
    for scores, items, values in zip(written, found.items.numpy(), found.scores.numpy(), strict=True):
        listed = items >= 0
        assert not listed[np.argmin(listed) :].any() or listed.all()
        assert np.allclose(values[listed], np.sort(scores[scores > 1e-12])[::-1][: listed.sum()], atol=1e-6)
        assert np.allclose(scores[items[listed]], values[listed], atol=1e-6)
        assert listed.sum() == min(k, (scores > 1e-12).sum())


def test_lengths_below_one_are_refused():
    with pytest.raises(UsageError, match=r"k is 0, n_neighbors 500, shrink 100"):
        item_knn(sparse.csr_array(np.eye(2)), 0)
