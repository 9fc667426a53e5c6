import numpy as np
import pytest
import torch
from scipy import sparse

from alignrec.errors import UsageError
from alignrec.evaluation.segments import evaluate_segments, restrict_to_items, restrict_to_users
from alignrec.types import Ranking

# items 0..3 with 5, 4, 1, 0 training interactions; users 0..4 with 3, 2, 2, 2, 1
TRAIN = sparse.csr_array(
    np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=np.float32)
)
TRUTH = sparse.csr_array(
    np.array([[0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 0]], dtype=np.float32)
)
RANKING = Ranking(torch.tensor([[3, 0], [2, 0], [0, 3], [2, 3], [1, 0]]), torch.zeros(5, 2))


def test_the_long_tail_restricts_the_truth_and_not_the_candidates() -> None:
    report = evaluate_segments(RANKING, TRUTH, TRAIN, ["recall@2"])["long-tail items (<4)"]
    assert report.split == "long-tail items (<4)"
    assert report.users.tolist() == [0, 1, 2, 4]
    assert report.values["recall@2"].tolist() == [1, 1 / 2, 0, 0]


def test_cold_items_and_the_others() -> None:
    reports = evaluate_segments(RANKING, TRUTH, TRAIN, ["recall@1"])
    assert reports["cold items"].users.tolist() == [0, 1]
    assert reports["cold items"]["recall@1"] == 1 / 2
    assert reports["other items"].users.tolist() == [4]
    assert reports["other items"]["recall@1"] == 1


def test_a_long_tail_below_one_interaction_is_the_cold_items() -> None:
    reports = evaluate_segments(RANKING, TRUTH, TRAIN, ["recall@2"], long_tail=1)
    assert reports["long-tail items (<1)"].users.tolist() == reports["cold items"].users.tolist() == [0, 1]


def test_the_last_item_of_a_catalogue_larger_than_the_users_may_be_cold() -> None:
    truth = sparse.csr_array(np.array([[0, 0, 1]], dtype=np.float32))
    train = sparse.csr_array(np.array([[1, 0, 0]], dtype=np.float32))
    reports = evaluate_segments(Ranking(torch.tensor([[2]]), torch.zeros(1, 1)), truth, train, ["recall@1"])
    assert reports["cold items"]["recall@1"] == 1


def test_users_by_degree() -> None:
    reports = evaluate_segments(RANKING, TRUTH, TRAIN, ["recall@1"], user_edges=(1, 2, 3))
    assert reports["users 1"].users.tolist() == [4]
    assert reports["users 2"].users.tolist() == [1, 2]
    assert reports["users 3+"].users.tolist() == [0]
    assert reports["users 1"]["recall@1"] == 1 / 2


def test_the_users_of_the_long_tail_are_those_with_three_interactions_or_fewer() -> None:
    degrees = [0, 1, 3, 4, 5, 6, 10, 11, 12]
    train = sparse.csr_array((np.arange(12) < np.array(degrees)[:, None]).astype(np.float32))
    everybody = sparse.csr_array(np.ones((9, 12), dtype=np.float32))
    lists = Ranking(torch.zeros(9, 1, dtype=torch.int64), torch.zeros(9, 1))
    reports = evaluate_segments(lists, everybody, train, ["recall@1"])
    members = {name: [degrees[user] for user in report.users] for name, report in reports.items() if "users" in name}
    assert members == {"users 1-3": [1, 3], "users 4-5": [4, 5], "users 6-10": [6, 10], "users 11+": [11, 12]}


def test_a_segment_in_which_nobody_counts_is_left_out() -> None:
    reports = evaluate_segments(RANKING, TRUTH, TRAIN, ["recall@1"], user_edges=(1, 4))
    assert "users 1-3" in reports
    assert "users 4+" not in reports


def test_lists_of_some_users() -> None:
    some = Ranking(RANKING.items[[4, 1]], RANKING.scores[[4, 1]])
    reports = evaluate_segments(some, TRUTH, TRAIN, ["recall@1"], users=[4, 1])
    assert reports["cold items"].users.tolist() == [1]
    assert reports["other items"].users.tolist() == [4]


def test_the_item_segments_part_the_truth() -> None:
    marked = np.array([True, False, True, False])
    kept, rest = restrict_to_items(TRUTH, marked), restrict_to_items(TRUTH, ~marked)
    assert np.array_equal(kept.toarray() + rest.toarray(), TRUTH.toarray())
    assert kept.toarray()[:, ~marked].sum() == 0


def test_restricting_to_users_empties_the_other_rows() -> None:
    kept = restrict_to_users(TRUTH, np.array([False, True, False, False, False]))
    assert np.array_equal(kept.toarray().sum(1), [0, 2, 0, 0, 0])


@pytest.mark.parametrize("wrong", [{"user_edges": (4, 1)}, {"user_edges": (1, 1)}, {"long_tail": 0}])
def test_wrong_segments_are_refused(wrong: dict) -> None:
    with pytest.raises(UsageError, match=r"must rise|at least 1"):
        evaluate_segments(RANKING, TRUTH, TRAIN, ["recall@1"], **wrong)
