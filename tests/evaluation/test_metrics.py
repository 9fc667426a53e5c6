import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from alignrec.errors import UsageError
from alignrec.evaluation.metrics import (
    DEFAULT_METRICS,
    METRIC_KINDS,
    Hits,
    Metric,
    deepest_cutoff,
    find_hits,
    metric_values,
    parse_metric,
    parse_metrics,
)


def _value(name: str, ranked: list[int], relevant: list[int]) -> float:
    """One user's value of a metric; items are numbers below 100."""
    truth = sparse.csr_array((np.ones(len(relevant)), ([0] * len(relevant), relevant)), shape=(1, 100))
    hits = find_hits(np.array([ranked]), truth)
    return float(metric_values([parse_metric(name)], hits)[name][0])


# The list 7 3 9 1 5 with relevant items 3, 1, 8: hits at ranks 2 and 4, one item missed.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recall@1", 0),
        ("recall@3", 1 / 3),
        ("recall@5", 2 / 3),
        ("precision@3", 1 / 3),
        ("precision@5", 2 / 5),
        ("ndcg@2", (1 / np.log2(3)) / (1 + 1 / np.log2(3))),
        ("ndcg@5", (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3) + 1 / 2)),
        ("map@2", (1 / 2) / 2),
        ("map@5", (1 / 2 + 2 / 4) / 3),
        ("map_trec@2", (1 / 2) / 3),
        ("map_trec@5", (1 / 2 + 2 / 4) / 3),
        ("hit@1", 0),
        ("hit@2", 1),
        ("mrr@1", 0),
        ("mrr@5", 1 / 2),
    ],
)
def test_worked_example(name: str, expected: float) -> None:
    assert _value(name, [7, 3, 9, 1, 5], [1, 3, 8]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", [kind for kind in METRIC_KINDS if kind != "precision"])
def test_a_perfect_list_has_one(kind: str) -> None:
    assert _value(f"{kind}@3", [4, 2, 6], [2, 4, 6]) == pytest.approx(1)


@pytest.mark.parametrize("kind", METRIC_KINDS)
def test_a_list_without_hits_has_zero(kind: str) -> None:
    assert _value(f"{kind}@3", [4, 2, 6], [1]) == 0


def test_more_relevant_items_than_places() -> None:
    ranked, relevant = [0, 1, 50], [0, 1, 2, 3]
    assert _value("ndcg@2", ranked, relevant) == pytest.approx(1)
    assert _value("map@2", ranked, relevant) == pytest.approx(1)
    assert _value("map_trec@2", ranked, relevant) == pytest.approx(1 / 2)


def test_empty_places_of_a_short_list_are_no_hits() -> None:
    assert _value("precision@4", [2, -1, -1, -1], [2, 99]) == pytest.approx(1 / 4)


def test_an_item_that_stands_twice_in_a_list_is_refused_and_not_counted_twice() -> None:
    truth = sparse.csr_array(np.array([[1, 0, 0], [0, 1, 1]]))
    with pytest.raises(UsageError, match="a list holds item 2 more than once"):
        find_hits(np.array([[0, 1, 2], [2, 1, 2]]), truth)


def test_many_pairs_are_compared_in_parts(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    items = np.argsort(rng.random((50, 40)), axis=1)[:, :10]
    truth = sparse.csr_array((rng.random((50, 40)) < 0.2).astype(np.float32))
    whole = find_hits(items, truth)
    monkeypatch.setattr("alignrec.evaluation.metrics._COMPARISONS", 25)
    parts = find_hits(items, truth)
    assert np.array_equal(whole.rows, parts.rows)
    assert np.array_equal(whole.ranks, parts.ranks)


def test_hits_equal_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    items = np.argsort(rng.random((30, 60)), axis=1)[:, :15]
    dense = rng.random((30, 60)) < 0.1
    found = find_hits(items, sparse.csr_array(dense.astype(np.float32)))
    plain = [(user, rank + 1) for user in range(30) for rank in range(15) if dense[user, items[user, rank]]]
    assert list(zip(found.rows.tolist(), found.ranks.tolist(), strict=True)) == plain


@st.composite
def _lists(draw: st.DrawFn) -> Hits:
    """One user's hits in a list of 30, with at least as many relevant items."""
    ranks = sorted(draw(st.sets(st.integers(1, 30))))
    relevant = draw(st.integers(max(1, len(ranks)), 40))
    return Hits(np.zeros(len(ranks), np.int64), np.array(ranks, np.int64), np.array([relevant]), 30)


@given(_lists(), st.integers(1, 30))
def test_every_metric_lies_between_zero_and_one(hits: Hits, cutoff: int) -> None:
    for values in metric_values([Metric(kind, cutoff) for kind in METRIC_KINDS], hits).values():
        assert 0 <= values[0] <= 1


@given(_lists(), st.integers(1, 30), st.integers(1, 30))
def test_another_hit_never_lowers_a_metric(hits: Hits, rank: int, cutoff: int) -> None:
    more_ranks = np.union1d(hits.ranks, [rank])
    relevant = np.maximum(hits.relevant, len(more_ranks))
    asked = [Metric(kind, cutoff) for kind in METRIC_KINDS]
    before = metric_values(asked, Hits(hits.rows, hits.ranks, relevant, 30))
    after = metric_values(asked, Hits(np.zeros(len(more_ranks), np.int64), more_ranks, relevant, 30))
    for name, values in before.items():
        assert after[name][0] >= values[0] - 1e-12


@given(_lists())
def test_recall_grows_with_the_cutoff(hits: Hits) -> None:
    values = metric_values([Metric("recall", k) for k in range(1, 31)], hits)
    assert (np.diff([v[0] for v in values.values()]) >= 0).all()


def test_equals_pytrec_eval() -> None:
    rng = np.random.default_rng(2)
    items = np.argsort(rng.random((200, 120)), axis=1)[:, :50]
    dense = rng.random((200, 120)) < rng.random((200, 1)) * 0.6
    dense[:, 0] = True  # nobody without relevant items
    names = {"recall": "recall", "ndcg": "ndcg_cut", "precision": "P", "map_trec": "map_cut"}
    cutoffs = "5,10,20,50"
    run = {str(u): {str(i): float(50 - r) for r, i in enumerate(row)} for u, row in enumerate(items.tolist())}
    truth = {str(u): {str(i): 1 for i in np.flatnonzero(row)} for u, row in enumerate(dense)}
    measures = {f"{theirs}.{cutoffs}" for theirs in names.values()} | {"recip_rank"}
    theirs = pytrec_eval.RelevanceEvaluator(truth, measures).evaluate(run)
    hits = find_hits(items, sparse.csr_array(dense.astype(np.float32)))
    asked = {f"{ours}@{k}": f"{other}_{k}" for ours, other in names.items() for k in cutoffs.split(",")}
    asked["mrr@50"] = "recip_rank"
    for name, values in metric_values(parse_metrics(asked), hits).items():
        expected = [theirs[str(user)][asked[name]] for user in range(200)]
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9)


def test_metric_names_are_read() -> None:
    assert parse_metric("map_trec@7") == Metric("map_trec", 7)
    assert parse_metrics(["recall@5", "recall@5"]) == (Metric("recall", 5),)
    assert deepest_cutoff(["recall@5", "hit@30", "mrr@10"]) == 30


def test_the_defaults_are_six_metrics_at_four_depths() -> None:
    assert len(DEFAULT_METRICS) == 24
    assert {"recall@20", "ndcg@5", "precision@10", "map@50", "hit@20", "mrr@20"} <= set(DEFAULT_METRICS)


@pytest.mark.parametrize(
    "name",
    [
        "recall",
        "recall@",
        "recall@0",
        "recall@-1",
        "recall@2.5",
        "Recall@5",
        "auc@5",
        "@5",
        "recall@٣",
        "hit@" + "9" * 5000,
    ],
)
def test_an_unknown_metric_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(UsageError, match=r"KIND@K.*recall, ndcg"):
        parse_metric(name)


@given(st.text(max_size=12))
def test_any_other_text_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_metric(f"{name}@")
    assert "\n" not in str(caught.value)


def test_no_metric_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        parse_metrics([])


def test_a_single_string_is_not_read_letter_by_letter() -> None:
    with pytest.raises(UsageError, match="not the single string 'recall@20'"):
        parse_metrics("recall@20")


@pytest.mark.parametrize("kind", METRIC_KINDS)
def test_no_list_has_no_value(kind: str) -> None:
    hits = find_hits(np.empty((0, 3), np.int64), sparse.csr_array((0, 100)))
    assert metric_values([Metric(kind, 3)], hits)[f"{kind}@3"].shape == (0,)
