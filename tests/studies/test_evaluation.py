from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import small_dataset

from alignrec.ranking import top_k
from alignrec.studies import evaluate, train
from alignrec.studies.evaluation import popularity


def test_opens_the_test_split_beside_validation_and_popularity(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "data")
    run = train(dataset, model="bpr", out=tmp_path / "run", settings={"training": {"epochs": 2}})
    at_training = run.report()["valid"]
    reports = evaluate(run)
    report = run.report()
    assert set(report) >= {"valid", "test", "popularity", "training"}
    assert report["test"] == reports.model["test"].as_dict()
    assert {"recall@20", "ndcg@20", "precision@20", "map@20", "hit@20", "mrr@20", "coverage@20"} <= set(report["test"])
    for name, value in at_training.items():
        assert report["valid"][name] == pytest.approx(value, abs=1e-12)
    assert set(report["popularity"]) == {"valid", "test"}
    assert (run.path / "per_user.parquet").is_file()


def test_evaluating_twice_gives_the_same_report(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "data")
    run = train(dataset, model="bpr", out=tmp_path / "run", settings={"training": {"epochs": 1}})
    evaluate(run)
    first = (run.path / "report.json").read_bytes(), (run.path / "per_user.parquet").read_bytes()
    evaluate(run.path)
    assert ((run.path / "report.json").read_bytes(), (run.path / "per_user.parquet").read_bytes()) == first


def test_other_metrics_do_not_replace_what_training_measured(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "data")
    run = train(dataset, model="bpr", out=tmp_path / "run", settings={"training": {"epochs": 1}})
    at_training = run.selected()
    evaluate(run, metrics=("recall@3",), item_knn=True)
    assert run.selected() == at_training
    assert "recall@20" not in run.report()["valid"]
    assert "coverage@3" in run.report()["item_knn"]["test"]


def test_popularity_ranks_by_training_interactions_for_everybody(tmp_path: Path) -> None:
    train_matrix = small_dataset(tmp_path / "data").split("train")
    embeddings = popularity(train_matrix)
    counts = np.bincount(train_matrix.indices, minlength=train_matrix.shape[1])
    expected = np.lexsort((np.arange(len(counts)), -counts))[:5]
    ranking = top_k(embeddings.users, embeddings.items, 5)
    assert torch.equal(ranking.items, torch.from_numpy(expected).expand(train_matrix.shape[0], 5))
