import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from alignrec.errors import UsageError
from alignrec.evaluation.beyond import beyond_accuracy, divide_metrics, gini, head_items, is_beyond


@pytest.fixture
def train() -> sparse.csr_array:
    """4 users, 5 items taken by 4, 2, 1, 1, 0 users."""
    return sparse.csr_array(np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 0]], np.float32))


def test_worked_example(train: sparse.csr_array) -> None:
    figures = beyond_accuracy(np.array([[0, 1, 3], [0, 2, 3], [1, 0, 3], [4, -1, 3]]), train, 2)
    # listed to rank 2: item 0 three times, 1 twice, 2 and 4 once, 3 never
    assert figures["coverage@2"] == pytest.approx(4 / 5)
    assert figures["novelty@2"] == pytest.approx((3 * 0 + 2 * 1 + 1 * 2 + 1 * 2) / 7)
    assert figures["tail_share@2"] == pytest.approx(4 / 7)  # the head is item 0 alone
    assert figures["gini@2"] == pytest.approx((-4 * 0 - 2 * 1 + 0 * 1 + 2 * 2 + 4 * 3) / (5 * 7))


def test_an_item_everybody_took_is_no_news(train: sparse.csr_array) -> None:
    assert beyond_accuracy(np.zeros((4, 1), np.int64), train, 1)["novelty@1"] == 0


def test_empty_lists_have_no_figures(train: sparse.csr_array) -> None:
    assert beyond_accuracy(np.full((4, 2), -1), train, 2) == {}


def test_gini_of_equal_and_of_single_exposure() -> None:
    assert gini(np.full(10, 3)) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 12])) == pytest.approx(1 - 1 / 4)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any))
def test_gini_is_half_the_mean_difference_over_the_mean(counts: list[int]) -> None:
    x = np.array(counts)
    difference = np.abs(x[:, None] - x).mean()
    assert gini(x) == pytest.approx(difference / (2 * x.mean()), abs=1e-12)


def test_the_head_is_a_fifth_of_the_items_by_degree_then_index() -> None:
    assert np.flatnonzero(head_items(np.array([1, 5, 2, 5, 5, 0, 1]))).tolist() == [1, 3]


def test_every_figure_that_is_measured_here_is_known_by_its_name(train: sparse.csr_array) -> None:
    assert all(map(is_beyond, beyond_accuracy(np.array([[0]]), train, 1)))
    assert not is_beyond("recall@20")


def test_names_are_divided_once_each_and_accuracy_metrics_checked() -> None:
    names = ["gini@20", "recall@20", "coverage@20", "recall@20", "ndcg@5"]
    assert divide_metrics(names) == (["recall@20", "ndcg@5"], ["gini@20", "coverage@20"])
    assert divide_metrics(["gini@20"]) == ([], ["gini@20"])
    for wrong, message in ((["recal@20", "gini@20"], "unknown metric 'recal@20'"), ([], "no metric given")):
        with pytest.raises(UsageError, match=message):
            divide_metrics(wrong)
