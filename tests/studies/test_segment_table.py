from dataclasses import replace

import numpy as np
import pytest
from datasets import small_dataset

from alignrec.errors import UsageError
from alignrec.evaluation import evaluate_segments
from alignrec.ranking import top_k
from alignrec.studies import evaluate, train
from alignrec.studies.segment_table import segment_tables


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Read only: two seeds of bpr, one of lightgcn; every user has six training interactions."""
    root = tmp_path_factory.mktemp("segments")
    data = small_dataset(root / "data")
    found = []
    for model, seed in (("bpr", 0), ("bpr", 1), ("lightgcn", 0)):
        run = train(data, model=model, seed=seed, out=root / f"{model}-{seed}", settings={"training": {"epochs": 2}})
        evaluate(run, metrics=("recall@5",))
        found.append(run)
    return found


def rows(table):
    return {(row.segment, row.label): row for row in table.rows}


def test_all_users_are_what_evaluate_says(runs):
    table = segment_tables([run.path for run in runs], metrics=["recall@5"])[0]
    seeds = [run.report()["test"]["recall@5"] for run in runs[:2]]
    row = rows(table)["all", "bpr"]
    assert row.means["recall@5"] == pytest.approx(np.mean(seeds))
    assert row.stds["recall@5"] == pytest.approx(np.std(seeds, ddof=1))
    assert rows(table)["all", "lightgcn"].stds["recall@5"] is None


def test_long_tail_items_are_cut_as_evaluation_cuts_them(runs):
    run = runs[2]
    data, embeddings = run.dataset(), run.embeddings()
    train_, test = data.split("train"), data.split("test")
    ranking = top_k(embeddings.users, embeddings.items, 5, exclude=train_)
    expected = evaluate_segments(ranking, test, train_, ["recall@5"], long_tail=10)
    row = rows(segment_tables([run.path], metrics=["recall@5"], long_tail=10)[0])["long-tail items (<10)", "lightgcn"]
    report = expected["long-tail items (<10)"]
    assert (row.users, row.relevant) == (report.n_users, report.n_relevant)
    assert row.means["recall@5"] == pytest.approx(report["recall@5"])


def test_both_readings_of_the_long_tail_split_everybody(runs):
    table = segment_tables([runs[0].path], metrics=["recall@5"], long_tail=9)[0]
    found = rows(table)
    items = found["long-tail items (<9)", "bpr"].relevant + found["other items", "bpr"].relevant
    assert items == found["all", "bpr"].relevant == found["users 0-8", "bpr"].relevant


def test_runs_on_two_datasets_make_two_tables_each_of_its_own_runs(runs, tmp_path):
    first = runs[0].dataset()
    swapped = np.array([0, 2, 1], dtype=np.int8)[first.log.splits]  # validation and test change places
    second = replace(first, name="other", log=replace(first.log, splits=swapped)).save(tmp_path / "other")
    run = train(second, model="bpr", seed=0, out=tmp_path / "run", settings={"training": {"epochs": 1}})
    evaluate(run, metrics=("recall@5",))
    tables = segment_tables([runs[0].path, run.path], metrics=["recall@5"])
    assert [table.dataset for table in tables] == ["small", "other"]
    for table, each in zip(tables, (runs[0], run), strict=True):
        every = [row for row in table.rows if row.segment == "all"]
        assert [row.means["recall@5"] for row in every] == [pytest.approx(each.report()["test"]["recall@5"])]


def test_forms(runs):
    table = segment_tables([run.path for run in runs], metrics=["recall@5", "ndcg@5"])[0]
    assert len(table.to_csv().splitlines()) == 1 + 2 * len(table.rows)
    row = rows(table)["all", "bpr"]
    shown = " | ".join(f"{row.means[name]:.4f} ± {row.stds[name]:.4f}" for name in ("recall@5", "ndcg@5"))
    assert f"| all | 30 | bpr | 2 | {shown} |" in table.grid().to_markdown()


def test_wrong_use_is_one_line(runs):
    with pytest.raises(UsageError, match="no run given"):
        segment_tables([])
    with pytest.raises(UsageError, match="unknown metric"):
        segment_tables([runs[0].path], metrics=["accuracy@5"])
