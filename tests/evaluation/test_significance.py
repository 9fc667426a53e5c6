import math

import numpy as np
import pytest
from scipy import stats

from alignrec.errors import UsageError
from alignrec.evaluation import holm, paired_t_test, sample_std, seed_t_test, wilcoxon_test

FIRST = [0.50, 0.33, 1.00, 0.25, 0.80, 0.10, 0.66, 0.42]
SECOND = [0.40, 0.35, 0.75, 0.20, 0.50, 0.11, 0.60, 0.30]


def test_the_spread_of_a_sample_divides_by_one_less_and_one_value_has_none():
    assert sample_std([1.0, 2.0, 6.0]) == pytest.approx(math.sqrt(7))
    assert sample_std([3.0]) is None
    assert sample_std([]) is None


def test_the_paired_t_test_is_scipys():
    found = paired_t_test(FIRST, SECOND)
    assert (found.test, found.n) == ("paired t", 8)
    assert found.difference == pytest.approx(np.mean(FIRST) - np.mean(SECOND))
    assert found.p == pytest.approx(stats.ttest_rel(FIRST, SECOND).pvalue, rel=1e-9)


def test_the_paired_t_test_by_hand():
    # differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t = 2 sqrt(3); with 2 degrees p = 1 - t / sqrt(2 + t^2)
    assert paired_t_test([1, 2, 3], [0, 0, 0]).p == pytest.approx(1 - math.sqrt(12 / 14))


def test_wilcoxon_is_scipys_and_drops_pairs_without_a_difference():
    found = wilcoxon_test([*FIRST, 0.7], [*SECOND, 0.7])
    assert found.n == 9
    expected = stats.wilcoxon(np.round(np.subtract(FIRST, SECOND), 12)).pvalue
    assert found.p == pytest.approx(expected, rel=1e-9)


def test_wilcoxon_of_three_pairs_of_one_sign_is_a_quarter():
    assert wilcoxon_test([0.1, 0.2, 0.3], [0, 0, 0]).p == pytest.approx(2 / 2**3)


def test_the_order_in_which_seeds_were_summed_is_no_difference():
    sums = [0.1 + 0.2 + 0.3, 0.5], [0.3 + 0.2 + 0.1, 0.5]
    assert sums[0] != sums[1]
    assert paired_t_test(*sums).p == wilcoxon_test(*sums).p == 1


def test_the_same_seeds_are_paired_whatever_their_order():
    first, second = {0: 0.5, 1: 0.6, 2: 0.9}, {2: 0.8, 1: 0.55, 0: 0.41}
    found = seed_t_test(first, second)
    assert (found.test, found.n) == ("paired t", 3)
    assert found.p == pytest.approx(stats.ttest_rel([0.5, 0.6, 0.9], [0.41, 0.55, 0.8]).pvalue, rel=1e-9)


def test_other_seeds_are_compared_by_welch():
    found = seed_t_test({0: 0.5, 1: 0.6, 2: 0.9}, {1: 0.4, 2: 0.41})
    assert (found.test, found.n) == ("welch t", 5)
    assert found.difference == pytest.approx(2 / 3 - 0.405)
    assert found.p == pytest.approx(stats.ttest_ind([0.5, 0.6, 0.9], [0.4, 0.41], equal_var=False).pvalue, rel=1e-9)


@pytest.mark.parametrize("test", [paired_t_test, wilcoxon_test])
def test_no_difference_anywhere_has_p_1(test):
    assert test([0.2, 0.4, 0.4], [0.2, 0.4, 0.4]).p == 1


@pytest.mark.parametrize("test", [paired_t_test, wilcoxon_test])
@pytest.mark.parametrize("values", [[], [0.3]])
def test_fewer_than_two_users_have_no_answer(test, values):
    found = test(values, [0.0] * len(values))
    assert (found.n, found.p) == (len(values), None)


def test_a_difference_without_spread_is_no_matter_for_a_t_test():
    assert paired_t_test([0.3, 0.4, 0.5], [0.2, 0.3, 0.4]).p is None
    assert seed_t_test({0: 0.3, 1: 0.3}, {2: 0.4, 3: 0.4}).p is None
    assert seed_t_test({0: 0.3, 1: 0.3}, {2: 0.3, 3: 0.3}).p == 1


def test_one_side_without_spread_is_enough_for_welch():
    found = seed_t_test({0: 0.3, 1: 0.3}, {2: 0.4, 3: 0.5}).p
    assert found is not None
    assert 0 < found < 1


@pytest.mark.parametrize("second", [{0: 0.4}, {5: 0.4}, {5: 0.4, 6: 0.5}])
def test_one_seed_has_no_answer(second):
    found = seed_t_test({0: 0.5}, second)
    assert found.p is None
    assert found.n == (1 if set(second) == {0} else 1 + len(second))


def test_pairs_must_be_of_one_length_and_finite():
    with pytest.raises(UsageError, match="there are 2 and 1"):
        paired_t_test([0.1, 0.2], [0.1])
    with pytest.raises(UsageError, match="not finite"):
        wilcoxon_test([0.1, math.nan], [0.1, 0.2])


def test_holm_by_hand():
    # sorted .01 .02 .03 .04, times 4 3 2 1: .04 .06 .06 .04, which may not fall: .04 .06 .06 .06
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx((0.06, 0.04, 0.06, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


def test_holm_does_not_count_what_has_no_answer():
    assert holm([None, 0.01, 0.5]) == (None, 0.02, 0.5)


@pytest.fixture(scope="module")
def null_p_values():
    """1000 comparisons of two recommenders that are equally good: 60 users, recall of up to 4 relevant items."""
    rng = np.random.default_rng(7)
    first, second = rng.binomial(4, 0.3, (2, 1000, 60)) / 4
    pairs = list(zip(first, second, strict=True))
    return {test: np.array([test(a, b).p for a, b in pairs]) for test in (paired_t_test, wilcoxon_test)}


@pytest.mark.parametrize("test", [paired_t_test, wilcoxon_test])
def test_equally_good_recommenders_differ_as_often_as_alpha_says(null_p_values, test):
    found = null_p_values[test]
    low, high = stats.binom.interval(0.999, len(found), 0.01)
    assert low <= (found < 0.01).sum() <= high


def test_holm_keeps_the_families_with_a_false_positive_below_alpha(null_p_values):
    families = null_p_values[paired_t_test].reshape(200, 5)
    wrong = sum(min(holm(family.tolist())) < 0.05 for family in families)
    uncorrected = (families.min(axis=1) < 0.05).sum()
    assert wrong <= stats.binom.ppf(0.999, 200, 0.05) < uncorrected
