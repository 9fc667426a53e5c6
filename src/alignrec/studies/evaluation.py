"""Evaluate a finished run: one forward pass was stored, one top-k pass gives validation and test together.

Training never opens the test split; it is opened here first. The popularity line beside the model's is what every
personal recommender must beat.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from alignrec.artifacts import write_json
from alignrec.data import Dataset
from alignrec.evaluation import (
    DEFAULT_METRICS,
    Report,
    deepest_cutoff,
    evaluate_embeddings,
    evaluate_splits,
    write_per_user,
)
from alignrec.ranking import item_knn as rank_item_knn
from alignrec.studies.run_folder import Run
from alignrec.types import Embeddings, Interactions

__all__ = ["RunReports", "evaluate", "popularity"]


@dataclass(frozen=True)
class RunReports:
    """A run's reports by split ("valid", "test") and those of what needs no training on the same splits."""

    model: dict[str, Report]
    popularity: dict[str, Report]
    item_knn: dict[str, Report] | None = None  # where it was asked for


def evaluate(
    run: Run | str | Path,
    *,
    metrics: tuple[str, ...] = DEFAULT_METRICS,
    dataset: str | Path | None = None,
    item_knn: bool = False,
) -> RunReports:
    """Rank all items for all users once and measure validation and test; writes report.json and per_user.parquet.

    Args:
        run: a finished run or its folder.
        metrics: such as `recall@20`.
        dataset: folder of the dataset, if it has moved.
        item_knn: whether to measure ItemKNN too, beside popularity.

    Raises:
        ArtifactError: no finished run, or its dataset is not where it was.
        UsageError: an unknown metric.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    data = opened.dataset(dataset)
    reports = RunReports(
        _evaluate(data, opened.embeddings(), metrics), _evaluate(data, popularity(data.split("train")), metrics)
    )
    content = opened.report()
    content.setdefault("selected", content["valid"])  # what training measured, whatever is measured now
    content |= {split: report.as_dict() for split, report in reports.model.items()}
    content["popularity"] = {split: report.as_dict() for split, report in reports.popularity.items()}
    if item_knn:
        reports = replace(reports, item_knn=_item_knn(data, metrics))
        content["item_knn"] = {split: report.as_dict() for split, report in (reports.item_knn or {}).items()}
    write_per_user(opened.path / "per_user.parquet", reports.model.values())
    write_json(opened.path / "report.json", content)
    return reports


def popularity(train: Interactions) -> Embeddings:
    """Embeddings (d = 1) whose score is the number of training interactions of an item."""
    counts = np.bincount(train.indices, minlength=train.shape[1]).astype(np.float32)
    return Embeddings(torch.ones(train.shape[0], 1), torch.from_numpy(counts)[:, None])


def _item_knn(data: Dataset, metrics: tuple[str, ...]) -> dict[str, Report]:
    train, truths = data.split("train"), {split: data.split(split) for split in ("valid", "test")}
    length = min(deepest_cutoff(metrics), train.shape[1])
    return evaluate_splits(rank_item_knn(train, length), truths, metrics, train=train)


def _evaluate(data: Dataset, embeddings: Embeddings, metrics: tuple[str, ...]) -> dict[str, Report]:
    truths = {split: data.split(split) for split in ("valid", "test")}
    return evaluate_embeddings(embeddings, truths, seen=data.split("train"), metrics=metrics)
