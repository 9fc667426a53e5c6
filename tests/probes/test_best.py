import numpy as np
import pytest

from alignrec.errors import UsageError
from alignrec.probes import ProbeResult, choose_best


def result(features, hits, *, cases=1000, protocol="zero-shot", k=20, shift=0, candidates=10_000):
    """The first `hits` cases, from `shift` on, have their target in front."""
    ranks = np.where((np.arange(cases) - shift) % cases < hits, 1, k + 1)
    return ProbeResult(protocol, features, (k,), np.arange(cases), ranks, np.full(cases, candidates), skipped=0)


def test_the_higher_recall_wins_where_the_difference_is_sure():
    best = choose_best([result("a", 300), result("b", 200)], {"a": 100, "b": 10})
    assert best.name == "a"
    assert best.scores == {"a": 1.0, "b": pytest.approx(2 / 3)}
    assert best.reason == (
        "highest mean relative recall@20 over zero-shot, 1.000; ahead of all others (paired 95 % intervals above 0)"
    )


def test_of_level_tables_the_one_with_fewer_columns_wins():
    # a and b hit different cases: 205 to 200 of 1000 is well within chance.
    best = choose_best([result("a", 205), result("b", 200, shift=500)], {"a": 100, "b": 10})
    assert best.name == "b"
    assert best.behind["b"].is_level
    assert best.reason.startswith(
        "level with a (highest mean relative recall@20 over zero-shot, 1.000; ahead by 0.024 ["
    )
    assert best.reason.endswith("]); 10 columns, no more than those level with it: a 100")


def test_the_same_difference_is_sure_where_it_is_always_on_one_side():
    # b hits what a hits but for five cases: paired, that is more than chance.
    best = choose_best([result("a", 205), result("b", 200)], {"a": 100, "b": 10})
    assert best.name == "a"
    assert best.behind["b"].interval.low > 0


def test_a_tie_goes_to_fewer_columns_and_then_to_the_first_named():
    results = [result("a", 200), result("b", 200), result("c", 200)]
    assert choose_best(results, {"a": 20, "b": 10, "c": 10}).name == "b"
    assert choose_best(results, {"a": 10, "b": 10, "c": 10}).name == "a"


def test_of_level_tables_of_one_width_the_higher_score_wins():
    assert choose_best([result("a", 200), result("b", 205, shift=500)], {"a": 10, "b": 10}).name == "b"


def test_protocols_weigh_alike_whatever_their_level():
    # a: twice as good where recalls are low, b: a little better where they are high. Scores 1 + .9 to .5 + 1.
    results = [
        result("a", 40),
        result("b", 20),
        *(result(n, h, protocol="item-cf") for n, h in (("a", 540), ("b", 600))),
    ]
    best = choose_best(results, {"a": 10, "b": 10})
    assert best.scores == {"a": pytest.approx(0.95), "b": pytest.approx(0.75)}
    assert best.name == "a"


def test_both_masked_protocols_share_one_vote():
    recalls = {"zero-shot": (300, 200), "vision masked": (100, 200), "text masked": (150, 200)}
    results = [result(n, h, protocol=p) for p, pair in recalls.items() for n, h in zip("ab", pair, strict=True)]
    scores = choose_best(results, {"a": 1, "b": 1}).scores
    assert scores["a"] == pytest.approx((1 + (100 / 200 + 150 / 200) / 2) / 2)
    assert scores["b"] == pytest.approx((200 / 300 + 1) / 2)


def test_a_protocol_that_not_all_tables_went_through_does_not_count():
    results = [result("a", 200), result("b", 300), result("a", 200, protocol="vision masked")]
    best = choose_best(results, {"a": 1, "b": 1})
    assert best.name == "b"
    assert best.reason.endswith("; not counted, as not every table went through it: masked")


def test_a_table_that_nothing_tells_from_chance_does_not_win_by_its_width():
    # 20 of 100 candidates: chance is .2. On 40 cases b's 11 hits are level with a's 17, but also with chance's 8.
    options = {"cases": 40, "candidates": 100}
    best = choose_best([result("a", 17, **options), result("b", 11, shift=14, **options)], {"a": 100, "b": 1})
    assert best.behind["b"].is_level
    assert best.name == "a"
    assert best.reason.endswith("; no protocol tells b from chance")


def test_where_all_are_at_chance_the_narrowest_is_named_and_the_reason_says_so():
    best = choose_best([result("a", 0), result("b", 0)], {"a": 100, "b": 1})
    assert (best.name, best.scores) == ("b", {"a": 0.0, "b": 0.0})
    assert best.reason.endswith("no protocol tells a, b from chance")


def test_without_a_list_of_twenty_the_middle_length_decides():
    ranks = np.array([1, 2, 3, 4, 5] * 40)
    results = [
        ProbeResult("zero-shot", name, (1, 3, 5), np.arange(200), ranks - shift, np.full(200, 999), skipped=0)
        for name, shift in (("a", 0), ("b", 1))
    ]
    best = choose_best(results, {"a": 1, "b": 1})
    assert best.scores == {"a": pytest.approx(3 / 4), "b": 1.0}
    assert "recall@3" in best.reason


def test_the_only_table_is_the_best():
    assert choose_best([result("a", 300)], {"a": 5}).reason == "the only feature table given"


def test_results_of_two_datasets_are_not_compared():
    with pytest.raises(UsageError, match="do not ask the same cases"):
        choose_best([result("a", 3), result("b", 3, cases=900)], {"a": 1, "b": 1})


def test_tables_without_a_protocol_in_common_are_not_compared():
    with pytest.raises(UsageError, match="no protocol has results of all of a, b"):
        choose_best([result("a", 3), result("b", 3, protocol="item-cf")], {"a": 1, "b": 1})
