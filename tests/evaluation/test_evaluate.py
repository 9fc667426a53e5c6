import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import sparse

from alignrec.errors import DataError, UsageError
from alignrec.evaluation import evaluate, evaluate_embeddings, evaluate_splits
from alignrec.ranking import top_k
from alignrec.types import Embeddings, Ranking


def _ranking(*lists: list[int]) -> Ranking:
    items = torch.tensor(lists)
    return Ranking(items, torch.zeros(items.shape))


def _pairs(shape: tuple[int, int], *pairs: tuple[int, int]) -> sparse.csr_array:
    users, items = zip(*pairs, strict=True)
    return sparse.csr_array((np.ones(len(pairs), np.float32), (users, items)), shape=shape)


def test_users_without_relevant_items_are_not_counted() -> None:
    report = evaluate(_ranking([0, 1], [1, 2], [2, 0]), _pairs((3, 3), (0, 0), (2, 1)), ["recall@2"])
    assert report.users.tolist() == [0, 2]
    assert report.values["recall@2"].tolist() == [1, 0]
    assert (report["recall@2"], report.n_users, report.n_relevant) == (0.5, 2, 2)


def test_lists_of_some_users_in_any_order() -> None:
    truth = _pairs((4, 3), (1, 2), (3, 0), (0, 1))
    report = evaluate(_ranking([0, 1], [2, 1], [0, 1]), truth, ["recall@1"], users=[3, 1, 2])
    assert report.users.tolist() == [3, 1]
    assert report.values["recall@1"].tolist() == [1, 1]


def test_one_ranking_serves_validation_and_test() -> None:
    truths = {"valid": _pairs((2, 3), (0, 0), (1, 0)), "test": _pairs((2, 3), (0, 1), (1, 2))}
    reports = evaluate_splits(_ranking([0, 1], [1, 0]), truths, ["recall@1", "recall@2"])
    assert reports["valid"].means == {"recall@1": 0.5, "recall@2": 1.0}
    assert reports["test"].means == {"recall@1": 0.0, "recall@2": 0.5}
    assert {name: report.split for name, report in reports.items()} == {"valid": "valid", "test": "test"}


def test_validation_items_stay_in_the_lists_at_test_time() -> None:
    # one user, scores 4 3 2 1; item 0 is training, item 1 validation, item 2 test
    embeddings = Embeddings(torch.ones(1, 1), torch.tensor([[4.0], [3.0], [2.0], [1.0]]))
    truths = {"valid": _pairs((1, 4), (0, 1)), "test": _pairs((1, 4), (0, 2))}
    reports = evaluate_embeddings(embeddings, truths, seen=_pairs((1, 4), (0, 0)), metrics=["mrr@3"])
    assert reports["valid"]["mrr@3"] == 1  # the training item is masked
    assert reports["test"]["mrr@3"] == 1 / 2  # the validation item is not


def test_ranking_only_the_users_that_count_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    embeddings = Embeddings(torch.randn(90, 8), torch.randn(60, 8))
    train, truth = (sparse.csr_array((rng.random((90, 60)) < 0.02).astype(np.float32)) for _ in range(2))
    report = evaluate_embeddings(embeddings, {"valid": truth}, seen=train)["valid"]
    whole = evaluate(top_k(embeddings.users, embeddings.items, 50, exclude=train), truth)
    assert 0 < report.n_users < 90
    assert report.users.tolist() == whole.users.tolist()
    for name, values in whole.values.items():
        assert np.array_equal(report.values[name], values)


def test_equals_the_authors_toolbox_per_user_and_in_the_mean(goldens) -> None:
    golden = load_file(goldens / "metrics.safetensors")
    scores, masked = golden["scores"].float(), golden["train_mask"].numpy()
    truth = sparse.csr_array(golden["truth"].numpy().astype(np.float32))
    train = sparse.csr_array(masked.astype(np.float32))
    names = sorted(key.removeprefix("mmrec/") for key in golden if key.startswith("mmrec/"))
    assert len(names) == 12
    # users as rows of the score matrix, items as unit vectors: the dot products are the scores
    ranking = top_k(scores, torch.eye(40), 20, exclude=train)
    assert torch.equal(ranking.items, golden["topk"])
    report = evaluate(ranking, truth, [*names, "map_trec@5", "map_trec@10", "map_trec@20"])
    assert report.n_users == 50
    for name in names:
        assert report[name] == pytest.approx(float(golden[f"mmrec/{name}"]), abs=1e-9)
        np.testing.assert_allclose(report.values[name], golden[f"mmrec_per_user/{name}"].numpy(), rtol=0, atol=1e-9)
    about = json.loads((goldens / "metrics.json").read_text())
    for k in (5, 10, 20):
        assert report[f"map_trec@{k}"] == pytest.approx(float(golden[f"trec/map@{k}"]), abs=1e-9)
        difference = about["differences_mmrec_minus_trec"][f"map@{k}"]
        assert report[f"map@{k}"] - report[f"map_trec@{k}"] == pytest.approx(difference, abs=1e-9)


def test_the_report_describes_the_lists_when_training_is_given() -> None:
    train = _pairs((2, 3), (0, 0), (1, 0), (1, 1))
    report = evaluate(_ranking([0, 1], [1, 2]), _pairs((2, 3), (0, 1)), ["recall@2"], train=train)
    assert report["coverage@2"] == 1
    assert report["novelty@2"] == pytest.approx((0 + 1 + 1 + 1) / 4)


def test_lists_may_be_as_short_as_the_catalogue() -> None:
    report = evaluate(_ranking([0, 1, 2]), _pairs((1, 3), (0, 2)), ["recall@50", "precision@50"])
    assert report.means == {"recall@50": 1.0, "precision@50": 1 / 50}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"metrics": ["recall@3"]}, "recall@3 needs lists of 3 items, these have 2"),
        ({"metrics": ["recall@2", "recall@3"]}, "recall@3 needs lists of 3 items, these have 2"),
        ({"metrics": ["auc@2"]}, "unknown metric"),
        ({"users": [0]}, "one user per list"),
        ({"users": [0, 9]}, "user 0 or 9 does not exist"),
        ({"truth": _pairs((3, 4), (0, 0))}, "2 lists for 3 users"),
        ({"truth": _pairs((2, 1), (0, 0)), "metrics": ["recall@1"]}, "name item 2, but there are 1 items"),
    ],
)
def test_a_wrong_call_is_refused(call: dict, message: str) -> None:
    arguments = {"truth": _pairs((2, 4), (0, 0)), "metrics": ["recall@2"]} | call
    with pytest.raises(UsageError, match=message):
        evaluate(_ranking([0, 1], [1, 2]), **arguments)


def test_a_split_without_relevant_items_is_refused() -> None:
    with pytest.raises(DataError, match="no ranked user has a relevant item in 'valid'"):
        evaluate(_ranking([0]), sparse.csr_array((1, 3)), ["recall@1"], split="valid")


def test_lists_of_nobody_are_nothing_to_evaluate() -> None:
    nobody = Ranking(torch.empty(0, 1, dtype=torch.int64), torch.empty(0, 1))
    with pytest.raises(DataError, match="no ranked user has a relevant item in 'test'"):
        evaluate(nobody, _pairs((2, 3), (0, 0)), ["recall@1"], users=[])


def test_no_split_is_refused() -> None:
    with pytest.raises(UsageError, match="no split given"):
        evaluate_embeddings(Embeddings(torch.ones(1, 1), torch.ones(2, 1)), {}, seen=sparse.csr_array((1, 2)))


def test_a_cutoff_far_beyond_the_catalogue_costs_nothing_and_is_that_of_the_whole_list() -> None:
    embeddings = Embeddings(torch.ones(2, 1), torch.tensor([[3.0], [2.0], [1.0]]))
    truth, seen = _pairs((2, 3), (0, 1), (0, 2), (1, 2)), _pairs((2, 3), (0, 0))
    deep, whole = (
        evaluate_embeddings(
            embeddings, {"test": truth}, seen=seen, metrics=[f"{kind}@{k}" for kind in ("recall", "ndcg")]
        )
        for k in (999_999_999, 3)
    )
    for kind in ("recall", "ndcg"):
        assert deep["test"].values[f"{kind}@999999999"].tolist() == whole["test"].values[f"{kind}@3"].tolist()
    assert set(deep["test"].beyond) == {"coverage@20", "novelty@20", "gini@20", "tail_share@20"}


def test_a_single_string_is_not_taken_for_a_list_of_metrics() -> None:
    with pytest.raises(UsageError, match="give a list of metrics, not the single string 'recall@20'"):
        evaluate_splits(_ranking([0]), {"test": _pairs((1, 1), (0, 0))}, "recall@20")
