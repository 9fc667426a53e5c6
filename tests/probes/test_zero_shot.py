import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignrec.data import InteractionLog
from alignrec.errors import DataError, FeatureError
from alignrec.features import FeatureTable
from alignrec.probes import zero_shot


def table(matrix, name="f"):
    matrix = np.asarray(matrix, dtype=np.float32)
    return FeatureTable(name, "test", [str(i) for i in range(len(matrix))], matrix)


def log(rows, timestamps=None):
    users, items = np.array(rows, dtype=np.int32).reshape(-1, 2).T
    times = None if timestamps is None else np.array(timestamps, dtype=np.int64)
    return InteractionLog(users, items, np.zeros(len(users), dtype=np.int8), times)


def random_log(seed, users=30, items=40, times=5):
    rng = np.random.default_rng(seed)
    rows = [(u, i) for u in range(users) for i in rng.choice(items, size=rng.integers(1, 9), replace=False)]
    return log(rows, rng.integers(times, size=len(rows)))


def plain(matrix, interactions, exclude_history=True):
    """User by user: sort, mean, cosine with all items, count."""
    matrix, found = matrix.astype(np.float64), {}
    for user in np.unique(interactions.users):
        rows = np.flatnonzero(interactions.users == user)
        if len(rows) < 2:
            continue
        rows = rows[np.argsort(interactions.timestamps[rows], kind="stable")]
        *history, target = interactions.items[rows]
        mean = matrix[history].mean(axis=0)
        cosines = matrix @ mean / np.maximum(np.linalg.norm(matrix, axis=1) * np.linalg.norm(mean), 1e-12)
        candidates = np.ones(len(matrix), dtype=bool)
        candidates[history] = not exclude_history
        found[int(user)] = int((cosines[candidates] >= cosines[target] - 1e-12).sum())
    return found


def test_a_worked_example():
    # The mean of items 0 and 1 is (1, .5): cosines item 2 .95, item 3 .45, item 4 -.89; item 3 is second of three.
    features = table([[1, 0], [1, 1], [1, 1], [0, 1], [-1, 0]])
    result = zero_shot(features, log([(0, 0), (0, 1), (0, 3)], [10, 20, 30]), ks=[1, 2])
    assert (list(result.ranks), list(result.candidates)) == ([2], [3])
    assert (result.recall(1), result.recall(2)) == (0.0, 1.0)
    assert result.chance(2) == pytest.approx(2 / 3)


def test_the_latest_item_is_the_target_wherever_it_stands_in_the_source():
    features = table([[1, 0], [1, 0.5], [0, 1], [1, 0.1]])
    result = zero_shot(features, log([(0, 2), (0, 0), (0, 1)], [30, 10, 20]))
    assert list(result.ranks) == [2]  # item 2 behind item 3; the history is items 0 and 1


def test_equal_times_keep_the_order_of_the_source():
    features = table([[1, 0], [1, 0.5], [0, 1], [1, 0.1]])
    result = zero_shot(features, log([(0, 0), (0, 1), (0, 2)], [5, 5, 5]))
    assert list(result.ranks) == [2]
    assert "1 users have equal last times, ordered in the order of the source" in result.notes[0]


def test_without_timestamps_the_result_says_so():
    result = zero_shot(table(np.eye(3)), log([(0, 0), (0, 1)]))
    assert "no timestamps" in result.notes[0]


def test_a_seed_reorders_equal_times_only_and_repeatably():
    rng = np.random.default_rng(0)
    features, equal = table(rng.standard_normal((40, 5))), random_log(0, times=1)
    ordered = [zero_shot(features, equal, tie_seed=seed).ranks for seed in (None, 1, 1, 2)]
    assert np.array_equal(ordered[1], ordered[2])
    assert not np.array_equal(ordered[0], ordered[1])
    assert not np.array_equal(ordered[1], ordered[3])
    distinct = InteractionLog(equal.users, equal.items, equal.splits, rng.permutation(len(equal)))
    assert np.array_equal(zero_shot(features, distinct).ranks, zero_shot(features, distinct, tie_seed=1).ranks)


def test_users_with_one_item_are_skipped_and_counted():
    result = zero_shot(table(np.eye(4)), log([(0, 0), (0, 1), (3, 2), (5, 1), (5, 1)]))
    assert (list(result.cases), result.skipped) == ([0], 2)


def test_an_item_taken_again_counts_at_its_last_time():
    features = table([[1, 0], [0, 1], [1, 1]])
    again = zero_shot(features, log([(0, 0), (0, 1), (0, 0)], [1, 2, 3]))
    once = zero_shot(features, log([(0, 1), (0, 0)], [2, 3]))
    assert (list(again.ranks), list(again.candidates)) == (list(once.ranks), list(once.candidates)) == ([2], [2])


def test_with_the_history_kept_it_stands_before_the_target():
    features, interactions = table([[1, 0], [1, 0.1], [1, 0.2], [0, 1]]), log([(0, 0), (0, 1), (0, 2)])
    assert list(zero_shot(features, interactions).ranks) == [1]
    kept = zero_shot(features, interactions, exclude_history=False)
    assert (list(kept.ranks), list(kept.candidates)) == ([3], [4])


def test_unit_rows_take_the_weight_from_long_vectors():
    # Raw, the long vector of item 0 decides and item 2 is nearest; scaled, both count and item 3 is.
    features, interactions = table([[9, 0], [0, 1], [1, 0], [1, 1]]), log([(0, 0), (0, 1), (0, 3)])
    assert list(zero_shot(features, interactions).ranks) == [2]
    assert list(zero_shot(features, interactions, normalize_rows=True).ranks) == [1]


@pytest.mark.parametrize("exclude_history", [True, False])
def test_random_logs_equal_the_plain_form(exclude_history):
    for seed in range(5):
        features, interactions = np.random.default_rng(seed).standard_normal((40, 5)), random_log(seed)
        result = zero_shot(table(features), interactions, exclude_history=exclude_history)
        expected = plain(features.astype(np.float32), interactions, exclude_history)
        assert dict(zip(result.cases.tolist(), result.ranks.tolist(), strict=True)) == expected


@given(seed=st.integers(0, 1000), values=st.integers(1, 3))
def test_coarse_features_with_many_ties_equal_the_plain_form(seed, values):
    features = np.random.default_rng(seed).integers(-values, values + 1, size=(12, 2)).astype(np.float32)
    interactions = random_log(seed, users=8, items=12)
    result = zero_shot(table(features), interactions)
    assert dict(zip(result.cases.tolist(), result.ranks.tolist(), strict=True)) == plain(features, interactions)


@pytest.mark.parametrize("tile_users", [1, 7, 1000])
def test_ranks_do_not_depend_on_the_tile(tile_users):
    features, interactions = table(np.random.default_rng(3).standard_normal((40, 5))), random_log(3)
    expected = zero_shot(features, interactions).ranks
    assert np.array_equal(zero_shot(features, interactions, tile_users=tile_users).ranks, expected)


def test_memory_stays_far_below_users_times_items():
    rng = np.random.default_rng(7)
    features = table(rng.standard_normal((4000, 4)))
    interactions = log([(u, i) for u in range(2000) for i in (u, (u * 7 + 1) % 4000)])
    tracemalloc.start()
    zero_shot(features, interactions, tile_users=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 4000 * 4 / 4  # a quarter of the scores in single precision


def test_random_features_score_at_chance_and_informative_ones_far_above():
    rng = np.random.default_rng(4)
    # 400 users of 20 tastes; taste t takes four of the 20 items 20 t, ..., 20 t + 19.
    rows = [(u, 20 * (u % 20) + i) for u in range(400) for i in rng.choice(20, size=4, replace=False)]
    noise = zero_shot(table(rng.standard_normal((400, 32))), log(rows), ks=[40])
    assert abs(noise.recall(40) - noise.chance(40)) < 4 * noise.standard_error(40)
    tastes = np.repeat(np.eye(20), 20, axis=0) + 0.05 * rng.standard_normal((400, 20))
    assert zero_shot(table(tastes), log(rows), ks=[17]).recall(17) == 1.0


def test_no_user_with_two_items_is_an_error():
    with pytest.raises(DataError, match="no user has two different items"):
        zero_shot(table(np.eye(2)), log([(0, 0), (1, 1)]))


def test_features_of_a_smaller_catalogue_are_refused():
    with pytest.raises(FeatureError, match="2 rows but the interactions name item 5"):
        zero_shot(table(np.eye(2)), log([(0, 0), (0, 5)]))
