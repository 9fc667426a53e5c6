import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignrec.probes.bootstrap import Interval, bootstrap_interval


def hits(count, cases):
    return (np.arange(cases) < count).astype(float)


@given(st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), min_size=1, max_size=60), st.integers(0, 5))
def test_the_interval_contains_the_mean(values, seed):
    low, high = bootstrap_interval(np.array(values), seed=seed, resamples=2000)
    assert low - 1e-12 <= np.mean(values) <= high + 1e-12


@given(st.integers(1, 19), st.integers(0, 5))
def test_the_interval_shrinks_with_the_cases(count, seed):
    widths = [np.diff(bootstrap_interval(hits(count * n, 20 * n), seed=seed, resamples=2000))[0] for n in (1, 16)]
    assert widths[1] < widths[0] / 2  # a quarter, but for the steps of 1/20


def test_resampling_by_counts_is_resampling_of_cases():
    rng = np.random.default_rng(0)
    sample = rng.choice([0.0, 0.2, 1.0], size=200, p=[0.5, 0.3, 0.2])
    means = rng.choice(sample, size=(10_000, 200)).mean(axis=1)
    expected = np.quantile(means, [0.025, 0.975])
    assert bootstrap_interval(sample) == pytest.approx(tuple(expected), abs=0.003)


def test_the_interval_of_hits_is_that_of_the_binomial():
    # 36 of 100: the 2.5 % and 97.5 % points of Binomial(100, .36) are 27 and 46, by its distribution function.
    assert bootstrap_interval(hits(36, 100)) == pytest.approx((0.27, 0.455), abs=0.0051)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    shares = np.random.default_rng(1).binomial(400, 0.2, size=400) / 400
    intervals = np.array(
        [bootstrap_interval(hits(round(400 * p), 400), resamples=1000, seed=s) for s, p in enumerate(shares)]
    )
    covered = ((intervals[:, 0] <= 0.2) & (intervals[:, 1] >= 0.2)).mean()
    assert 0.90 <= covered <= 0.99


def test_paired_intervals_hold_the_difference_about_as_often_as_they_say():
    # Two tables agree on 80 % of 300 cases; elsewhere the first hits with .6, the second with .4: they differ by .04.
    rng, covered = np.random.default_rng(2), 0
    for seed in range(300):
        same = rng.random(300) < 0.8
        first, second = rng.random(300) < 0.6, rng.random(300) < 0.4
        low, high = bootstrap_interval(np.where(same, 0.0, first * 1.0 - second), resamples=1000, seed=seed)
        covered += low <= 0.2 * 0.2 <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_several_samples_are_added_and_resampled_independently():
    one, other = hits(30, 100), hits(50, 200)
    low, high = bootstrap_interval(one, other)
    expected = 1.96 * np.sqrt(0.3 * 0.7 / 100 + 0.25 * 0.75 / 200)
    assert (low, high) == pytest.approx((0.55 - expected, 0.55 + expected), abs=0.006)


def test_cases_that_are_all_alike_leave_nothing_to_resample():
    assert bootstrap_interval(np.ones(30)) == Interval(1.0, 1.0)


def test_one_value_computed_in_two_ways_is_one_value():
    assert bootstrap_interval(np.array([0.1 + 0.2, 0.3] * 20)) == pytest.approx((0.3, 0.3))


def test_the_seed_decides():
    sample = hits(37, 111)
    assert bootstrap_interval(sample, seed=3) == bootstrap_interval(sample, seed=3)
    assert len({bootstrap_interval(np.arange(50.0), seed=seed) for seed in range(3)}) == 3


def test_many_different_values_are_drawn_in_parts_and_the_parts_do_not_show(monkeypatch):
    sample = np.arange(200) / 7
    whole = bootstrap_interval(sample)
    monkeypatch.setattr("alignrec.probes.bootstrap._CELLS", 7000)
    assert bootstrap_interval(sample) == whole
