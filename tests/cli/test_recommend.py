import json

import polars as pl
import pytest
from datasets import small_dataset

from alignrec.serving import Recommender
from alignrec.studies import train


@pytest.fixture
def run(tmp_path):
    dataset = small_dataset(tmp_path / "small")
    return train(dataset, model="bpr", out=tmp_path / "run", settings={"training": {"epochs": 1}}).path


def test_recommend_prints_ids_titles_and_scores(command_line, run):
    done = command_line("recommend", run, "--user", "user-3", "-k", "4", "--json")
    assert json.loads(done.out)["results"] == Recommender.load(run).recommend(["user-3"], 4).to_dicts()
    table = command_line("recommend", run, "--user", "user-3", "-k", "4").out
    assert table.count("Title of item-") == 4


def test_similar_prints_the_nearest_items(command_line, run):
    done = command_line("similar", run, "--item", "item-0", "-k", "3", "--json")
    assert json.loads(done.out)["results"] == Recommender.load(run).similar(["item-0"], 3).to_dicts()


def test_titles_and_ids_are_shown_as_they_are(command_line, monkeypatch):
    titles = ["Shirt [M] blue", "Lego [/] set", ":baby: bottle", "[/foo] [bold]bar[/bold]"]
    rows = {"user_id": ["[u1]"] * 4, "rank": [1, 2, 3, 4], "item_id": list("abcd"), "title": titles, "score": [0.5] * 4}

    class Answering:
        def recommend(self, *_args: object, **_how: object) -> pl.DataFrame:
            return pl.DataFrame(rows)

    monkeypatch.setattr(Recommender, "load", lambda _run, _dataset: Answering())
    shown = command_line("recommend", "run", "--user", "[u1]").out
    for text in (*titles, "[u1]"):
        assert text in shown


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["recommend", "--user", "nobody"], 1, "unknown user 'nobody'"),
        (["similar", "--item", "nothing"], 1, "unknown item 'nothing'"),
        (["recommend", "--user", "user-1", "-k", "0"], 2, "k must be at least 1"),
        (["recommend", "--user", "user-1", "--exclude", "some"], 2, "allowed: all, train, none"),
    ],
)
def test_wrong_questions_get_one_line(command_line, run, words, code, message):
    done = command_line(words[0], run, *words[1:])
    assert (done.code, done.err.count("\n")) == (code, 1)
    assert message in done.err
