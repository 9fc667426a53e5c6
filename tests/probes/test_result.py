import json

import numpy as np
import pytest

from alignrec.errors import UsageError
from alignrec.probes.result import ProbeResult, check_cutoffs, paired_difference


@pytest.fixture
def result():
    ranks, candidates = np.array([1, 3, 10, 11]), np.array([20, 20, 40, 5])
    return ProbeResult("zero-shot", "f", (3, 10), np.arange(4), ranks, candidates, skipped=2, notes=("n",))


def test_a_rank_equal_to_k_is_a_hit(result):
    assert [result.recall(k) for k in (1, 2, 3, 10)] == [0.25, 0.25, 0.5, 0.75]


def test_chance_is_k_over_candidates_averaged_and_never_above_one(result):
    assert result.chance(10) == pytest.approx((0.5 + 0.5 + 0.25 + 1.0) / 4)


def test_standard_error_is_that_of_a_share(result):
    assert result.standard_error(3) == pytest.approx(np.sqrt(0.5 * 0.5 / 4))


def test_the_tied_value_exists_only_where_targets_can_tie(result):
    assert result.tied_recall(3) is None
    assert "recall_any_tied_target" not in result.as_dict()


def test_as_dict_is_json_with_every_figure(result):
    values = json.loads(json.dumps(result.as_dict()))
    assert values["recall"] == {"3": 0.5, "10": 0.75}
    assert values["interval"]["3"] == list(result.interval(3))
    assert (values["cases"], values["skipped"], values["notes"]) == (4, 2, ["n"])


def test_cutoffs_are_sorted_and_unique():
    assert check_cutoffs([20, 10, 20]) == (10, 20)


@pytest.mark.parametrize("ks", [[], [0, 5], [-1]])
def test_cutoffs_that_are_not_positive_are_refused(ks):
    with pytest.raises(UsageError, match="positive whole numbers"):
        check_cutoffs(ks)


def drawn(ranks, protocol="vision masked", cases=None):
    ranks = np.array(ranks)
    cases = np.arange(ranks.shape[-1]) if cases is None else np.array(cases)
    return ProbeResult(protocol, "f", (1,), cases, ranks, np.full(ranks.shape[-1], 9), skipped=0)


def test_a_case_that_is_asked_several_times_hits_in_part():
    result = drawn([[1, 1, 5, 2], [1, 3, 5, 1]])
    assert result.hits(1).tolist() == [1.0, 0.5, 0.0, 0.5]
    assert (result.recall(1), result.recall_by_draw(1)) == (0.5, [0.5, 0.5])


def test_the_spread_is_over_draws_and_needs_two():
    assert drawn([[1, 1, 5, 2], [1, 3, 5, 2]]).spread(1) == pytest.approx(np.std([0.5, 0.25], ddof=1))
    assert drawn([[1, 1, 5, 2]]).spread(1) is None
    assert drawn([1, 1, 5, 2]).spread(1) is None


def test_the_interval_is_about_two_standard_errors_each_way():
    result = drawn(np.arange(400) % 5 + 1)
    low, high = result.interval(1)
    assert (high - low) / 2 == pytest.approx(1.96 * result.standard_error(1), rel=0.05)


def test_a_paired_difference_is_surer_than_its_parts():
    first, second = drawn(np.arange(400) % 5 + 1), drawn((np.arange(400) % 5 + 1) + (np.arange(400) % 40 == 0))
    difference = paired_difference(first, second, 1)
    assert difference.value == pytest.approx(10 / 400)
    assert not difference.is_level
    assert np.diff(difference.interval)[0] < np.diff(first.interval(1))[0]


def test_a_result_is_level_with_itself():
    assert paired_difference(drawn([1, 2, 3]), drawn([1, 2, 3]), 1).is_level


@pytest.mark.parametrize("other", [drawn([1, 2], protocol="zero-shot"), drawn([1, 2], cases=[0, 2]), drawn([1, 2, 3])])
def test_results_over_other_cases_are_not_compared(other):
    with pytest.raises(UsageError, match="do not ask the same cases"):
        paired_difference(drawn([1, 2]), other, 1)
