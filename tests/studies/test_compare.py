import json

import pytest
from datasets import small_dataset

from alignrec.errors import UsageError
from alignrec.evaluation import paired_t_test
from alignrec.studies import compare, evaluate, train

METRICS = ("recall@5", "ndcg@5")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Read only: two seeds of bpr, one of lightgcn."""
    root = tmp_path_factory.mktemp("runs")
    data = small_dataset(root / "data")
    made = []
    for model, seed in (("bpr", 0), ("bpr", 1), ("lightgcn", 0)):
        run = train(data, model=model, seed=seed, out=root / f"{model}-{seed}", settings={"training": {"epochs": 2}})
        evaluate(run, metrics=METRICS)
        made.append(run)
    return made


def test_a_row_is_the_mean_and_sample_deviation_over_seeds(runs):
    table = compare([run.path for run in runs], metrics=METRICS).tables[0]
    first, second = (run.report()["test"]["ndcg@5"] for run in runs[:2])
    cell = table.cell(table.groups[0], "ndcg@5")
    assert cell.mean == pytest.approx((first + second) / 2)
    assert cell.std == pytest.approx(abs(first - second) / 2**0.5)
    assert table.cell(table.groups[1], "ndcg@5").std is None


def test_both_sides_of_one_comparison_are_counted_once_in_the_correction(runs):
    table = compare([run.path for run in runs], metrics=["ndcg@5"]).tables[0]
    forth, back = table.contrasts
    assert forth.corrected["users"] == back.corrected["users"] == forth.tests["users"].p
    assert forth.tests["users"].difference == -back.tests["users"].difference
    bpr, lightgcn = table.groups
    assert forth.tests["users"] == paired_t_test(bpr.per_user("ndcg@5"), lightgcn.per_user("ndcg@5"))
    assert forth.tests["seeds"].p is None


def test_a_named_baseline_is_what_the_others_are_tested_against(runs):
    found = compare([run.path for run in runs], metrics=[*METRICS, "coverage@5"], baseline="lightgcn", split="valid")
    assert [(c.label, c.reference) for c in found.tables[0].contrasts] == [("bpr", "lightgcn")] * 2
    with pytest.raises(UsageError, match="no row 'x' among the runs on small; there are: bpr; lightgcn"):
        compare([run.path for run in runs], metrics=METRICS, baseline="x")


def test_every_form_holds_every_row(runs):
    found = compare([run.path for run in runs], metrics=METRICS)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["tables"][0]["rows"][1]["label"] == "lightgcn"
    assert len(found.to_csv().splitlines()) == 1 + 2 * len(METRICS)
    assert all(
        r"lightgcn & 1 &" in text or "| lightgcn | 1 |" in text for text in (found.to_latex(), found.to_markdown())
    )


def test_wrong_use_is_one_line():
    with pytest.raises(UsageError, match="no run given"):
        compare([])
    with pytest.raises(UsageError, match="unknown split 'train'"):
        compare(["x"], split="train")
    with pytest.raises(UsageError, match="unknown metric 'accuracy@5'"):
        compare(["x"], metrics=["accuracy@5"])
