from dataclasses import replace

import numpy as np
import pytest
from datasets import small_dataset

from alignrec.data import Dataset, InteractionLog
from alignrec.studies.reproduction import dataset_facts
from alignrec.studies.reproduction.dataset_facts import counts_of, data_differences, describe_data
from alignrec.studies.reproduction.published import PublishedFigure, published_table


@pytest.fixture
def data(tmp_path) -> Dataset:
    """30 users with 6 + 1 + 1 interactions, as MMRec's rule has them."""
    return small_dataset(tmp_path / "small")


def with_counts(monkeypatch, counts):
    """Let these be the published counts of Baby."""
    table = published_table("cikm24", "table1")
    figures = {"Baby": {"5-core": {name: PublishedFigure(value) for name, value in counts.items()}}}
    fake = replace(table, figures=figures)
    monkeypatch.setattr(dataset_facts, "published_table", lambda *_: fake)


def test_counts_are_named_as_the_papers_name_them(data):
    counts = counts_of(data)
    assert (counts["users"], counts["items"], counts["interactions"]) == (30, 20, 240)
    assert (counts["train"], counts["valid"], counts["test"]) == (180, 30, 30)
    assert counts["items in train"] == 20


def test_equal_counts_and_rule_are_no_difference(data, monkeypatch):
    with_counts(monkeypatch, {"users": 30, "items": 20, "train": 180})
    assert data_differences(data, "Baby") == []


def test_every_count_that_differs_is_named(data, monkeypatch):
    with_counts(monkeypatch, {"users": 31, "items": 20, "train": 1800})
    assert data_differences(data, "Baby") == ["users 30 (published 31)", "train 180 (published 1,800)"]


def test_a_split_by_another_rule_is_a_difference(data, monkeypatch):
    with_counts(monkeypatch, {"users": 30})
    log = data.log
    splits = np.where(np.arange(len(log)) % 2 == 0, 0, 2).astype(np.int8)
    other = replace(data, log=InteractionLog(log.users, log.items, splits))
    assert data_differences(other, "Baby") == ["the split is of the family 'other' and the papers' of 'mmrec'"]


def test_a_split_drawn_here_is_a_difference_though_all_counts_agree(data, monkeypatch):
    with_counts(monkeypatch, {"users": 30})
    drawn = replace(data, about={"split": {"rule": "mmrec"}, "seed": 7})
    assert data_differences(drawn, "Baby") == [
        "the split was drawn here, so that other interactions are in test than in the papers"
    ]
    assert data_differences(replace(data, about={"split": {"rule": "given"}}), "Baby") == []


def test_the_published_counts_of_baby_are_those_of_both_tables(data):
    found = data_differences(data, "Baby")
    assert "users 30 (published 19,445)" in found
    assert "test 30 (published 21,682)" in found


def test_a_split_drawn_here_says_so(data):
    drawn = replace(data, about={"split": {"rule": "mmrec"}, "seed": 7})
    assert "rule mmrec with seed 7, so another draw than the published one" in describe_data(drawn)
    assert "30 users, 20 items, 240 interactions; split 180/30/30, rule unknown" in describe_data(data)
