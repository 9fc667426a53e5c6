import json

import numpy as np
import pytest

from alignrec.errors import UsageError
from alignrec.probes.result import ProbeResult, check_cutoffs


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
    assert (values["cases"], values["skipped"], values["notes"]) == (4, 2, ["n"])


def test_cutoffs_are_sorted_and_unique():
    assert check_cutoffs([20, 10, 20]) == (10, 20)


@pytest.mark.parametrize("ks", [[], [0, 5], [-1]])
def test_cutoffs_that_are_not_positive_are_refused(ks):
    with pytest.raises(UsageError, match="positive whole numbers"):
        check_cutoffs(ks)
