import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from alignrec.data import sampling
from alignrec.data.sampling import EpochSampler, require_negatives
from alignrec.errors import TrainingError


def interactions(rows: list[list[int]]) -> sparse.csr_array:
    return sparse.csr_array(np.array(rows, dtype=np.float32))


MATRIX = interactions([[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [1, 0, 0, 1, 0]])  # item 4 has no interaction


@pytest.fixture(params=["bitmap", "search"])
def sampler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> EpochSampler:
    if request.param == "search":
        monkeypatch.setattr(sampling, "_BITMAP_BYTES", -1)
    return EpochSampler(MATRIX)


def test_an_epoch_is_a_shuffle_of_all_interactions(sampler: EpochSampler) -> None:
    users, positives, _ = sampler.epoch(np.random.default_rng(0))
    assert sorted(zip(users.tolist(), positives.tolist(), strict=True)) == [
        (0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 3),
    ]  # fmt: skip


def test_negatives_are_uniform_over_unseen_training_items(sampler: EpochSampler) -> None:
    negatives = sampler.negatives(np.zeros(60_000, dtype=np.int64), np.random.default_rng(1))
    items, counts = np.unique(negatives, return_counts=True)
    assert items.tolist() == [2, 3]  # not 0 and 1, which user 0 has, nor 4, which nobody has
    # five standard deviations of a fair coin
    assert abs(counts[0] - 30_000) < 5 * np.sqrt(60_000 / 4)


@pytest.mark.parametrize("limit", [sampling._BITMAP_BYTES, -1])
def test_the_order_of_a_users_items_does_not_matter(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_BITMAP_BYTES", limit)
    matrix = sparse.csr_array((np.ones(4), np.array([3, 2, 1, 0]), np.array([0, 2, 4])), shape=(2, 4))
    negatives = EpochSampler(matrix).negatives(np.repeat([0, 1], 50), np.random.default_rng(0))
    assert set(negatives[:50].tolist()) == {0, 1}
    assert set(negatives[50:].tolist()) == {2, 3}


def test_both_membership_tests_draw_the_same_triples(monkeypatch: pytest.MonkeyPatch) -> None:
    by_bitmap = EpochSampler(MATRIX).epoch(np.random.default_rng(5))
    monkeypatch.setattr(sampling, "_BITMAP_BYTES", -1)
    by_search = EpochSampler(MATRIX).epoch(np.random.default_rng(5))
    for ours, theirs in zip(by_bitmap, by_search, strict=True):
        assert np.array_equal(ours, theirs)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(3, 20), st.integers(0, 2**32 - 1))
def test_a_negative_is_never_a_training_item_of_its_user(n_users: int, n_items: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = (rng.random((n_users, n_items)) < 0.5).astype(np.float32)
    matrix[:, :2] = [1, 0]
    matrix[0, 1] = 1  # items 0 and 1 both occur
    matrix[0, 2:] = 0
    matrix[1, 2] = 1  # user 0 has candidates left
    users, _, negatives = EpochSampler(sparse.csr_array(matrix)).epoch(rng)
    assert not matrix[users, negatives].any()
    assert matrix[:, negatives].any(axis=0).all()


def test_a_user_who_has_everything_is_named_by_its_own_id_where_there_are_ids() -> None:
    with pytest.raises(TrainingError, match="user 'ann' has all 2 training items"):
        require_negatives(sparse.csr_array([[1.0, 0], [1, 1]]), ["bob", "ann"])


def test_a_user_who_has_everything_is_named() -> None:
    with pytest.raises(TrainingError, match="user number 1 has all 2 training items"):
        EpochSampler(interactions([[1, 0, 0], [1, 1, 0]]))


def test_an_empty_training_split_is_an_error() -> None:
    with pytest.raises(TrainingError, match="no training interactions"):
        EpochSampler(interactions([[0, 0]]))
