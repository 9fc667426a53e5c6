from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import small_dataset

from alignrec.data import Catalogue, Dataset
from alignrec.errors import ArtifactError, DataError, UsageError
from alignrec.evaluation import evaluate_embeddings
from alignrec.serving import Recommender
from alignrec.studies import train
from alignrec.types import Embeddings


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture
def recommender(dataset: Dataset) -> Recommender:
    """Scores of user u are the numbers of the items, largest first for everybody."""
    items = torch.arange(float(dataset.n_items))[:, None]
    return Recommender(dataset, Embeddings(torch.ones(dataset.n_users, 1), items))


def test_answers_in_the_users_own_ids_with_titles_and_scores(recommender: Recommender) -> None:
    frame = recommender.recommend(["user-3"], 2, exclude="none")
    assert frame.to_dicts() == [
        {"user_id": "user-3", "rank": 1, "item_id": "item-19", "title": "Title of item-19", "score": 19.0},
        {"user_id": "user-3", "rank": 2, "item_id": "item-18", "title": "Title of item-18", "score": 18.0},
    ]


@pytest.mark.parametrize(("exclude", "splits"), [("all", ("train", "valid", "test")), ("train", ("train",))])
def test_leaves_out_what_it_is_told_to(recommender: Recommender, exclude: str, splits: tuple[str, ...]) -> None:
    known = {item for split in splits for item in recommender.history("user-0", split=split)["item_id"]}
    frame = recommender.recommend(["user-0"], 20, exclude=exclude)
    assert set(frame["item_id"]) == {f"item-{i}" for i in range(20)} - known
    assert frame["rank"].to_list() == list(range(1, 20 - len(known) + 1))


def test_several_users_come_in_the_order_asked(recommender: Recommender) -> None:
    frame = recommender.recommend(["user-7", "user-2"], 3)
    assert frame["user_id"].to_list() == ["user-7"] * 3 + ["user-2"] * 3


def test_similar_items_leave_out_the_item_itself(dataset: Dataset) -> None:
    angles = torch.linspace(0, 3, dataset.n_items)
    items = torch.stack([angles.cos(), angles.sin()], dim=1) * (1 + angles)[:, None]  # lengths must not matter
    recommender = Recommender(dataset, Embeddings(torch.ones(dataset.n_users, 2), items))
    frame = recommender.similar(["item-0"], 3)
    assert frame["item_id"].to_list() == ["item-1", "item-2", "item-3"]
    assert frame["score"][0] == pytest.approx(float(torch.cos(angles[1])))


def test_an_unknown_user_is_named(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="unknown user 'nobody'"):
        recommender.recommend(["nobody"])


def test_a_single_string_is_not_taken_for_a_list_of_ids(recommender: Recommender) -> None:
    with pytest.raises(UsageError, match="give a list of ids, not the single string 'user-1'"):
        recommender.recommend("user-1")


@pytest.mark.parametrize(
    ("k", "exclude", "message"), [(0, "all", "at least 1"), (3, "seen", "allowed: all, train, none")]
)
def test_wrong_questions_are_refused(recommender: Recommender, k: int, exclude: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recommender.recommend(["user-1"], k, exclude=exclude)


def test_serving_and_evaluation_answer_alike(dataset: Dataset, tmp_path: Path) -> None:
    settings = {"model": {"embedding_size": 8}, "training": {"epochs": 3}}
    run = train(dataset, model="lightgcn", out=tmp_path / "run", settings=settings)
    recommender = Recommender.load(run.path)
    truth = dataset.split("test")
    reports = evaluate_embeddings(run.embeddings(), {"test": truth}, seen=dataset.split("train"), metrics=("recall@5",))
    served = recommender.recommend(dataset.users.ids, 5, exclude="train")
    hits = []
    for index, user in enumerate(dataset.users.ids):
        wanted = {dataset.items.ids[i] for i in truth[[index]].indices}
        got = set(served.filter(served["user_id"] == user)["item_id"])
        hits.append(len(wanted & got) / len(wanted))
    assert reports["test"].means["recall@5"] == pytest.approx(np.mean(hits))


def test_a_run_that_does_not_exist_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="train one with 'alignrec train"):
        Recommender.load(tmp_path / "nothing")


def test_a_run_whose_dataset_has_changed_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    run = train(dataset, model="bpr", out=tmp_path / "run", settings={"training": {"epochs": 1}})
    retitled = dataset.catalogue.frame.with_columns(title=dataset.catalogue.frame["title"] + "!")
    other = Dataset("small", dataset.users, dataset.items, dataset.log, Catalogue(retitled)).save(tmp_path / "other")
    with pytest.raises(ArtifactError, match="is not the dataset that"):
        Recommender.load(run.path, other.path)


def test_a_list_is_as_long_as_there_are_items_however_many_are_asked_for(recommender: Recommender) -> None:
    n_items = recommender.dataset.n_items
    assert len(recommender.recommend(["user-3"], 2_000_000_000, exclude="none")) == n_items
    assert len(recommender.similar(["item-3"], 2_000_000_000)) == n_items - 1
