import html
import re
from dataclasses import replace

import numpy as np
import pytest
from page_study import HOSTILE, with_failures

from alignrec.studies.page.examples import draw_users, examples_markup, recommended
from alignrec.studies.page.results import gather_results

BUDGET = 10**6


@pytest.fixture
def results(page_study):
    return gather_results(page_study)[0]


def test_the_same_seed_draws_the_same_users_and_another_others(results):
    drawn = draw_users(results.data, 5, 0)
    assert drawn.tolist() == draw_users(results.data, 5, 0).tolist() == sorted(set(drawn.tolist()))
    assert drawn.tolist() != draw_users(results.data, 5, 1).tolist()


def test_only_users_with_something_in_the_test_split_are_drawn(results):
    log = results.data.log
    splits = np.where((log.splits == 2) & (log.users != 7), 1, log.splits).astype(np.int8)
    assert draw_users(replace(results.data, log=replace(log, splits=splits)), 5, 0).tolist() == [7]


def test_asking_for_more_users_than_there_are_shows_all(results):
    assert draw_users(results.data, 10**6, 0).tolist() == list(range(results.data.n_users))


def test_lists_hold_no_training_item_and_their_hits_are_those_of_the_evaluation(results):
    users = draw_users(results.data, results.data.n_users, 0)
    drawn = recommended(results, results.data, users)
    for row, (run, _) in results.first_runs().items():
        lists = [user.lists[row] for user in drawn]
        assert not any(
            set(items.tolist()) & set(user.taken["train"].tolist()) for items, user in zip(lists, drawn, strict=True)
        )
        found = [
            len(set(items.tolist()) & set(user.taken["test"].tolist()))
            for items, user in zip(lists, drawn, strict=True)
        ]
        assert np.mean(found) == pytest.approx(run.report()["test"]["recall@10"])  # one item each in the test split


def test_a_recommendation_is_marked_by_the_split_it_was_taken_in(results):
    user = recommended(results, results.data, np.array([0]))[0]
    assert user.mark(user.taken["test"][0]) == "test"
    assert user.mark(user.taken["valid"][0]) == "valid"
    assert user.mark(user.taken["train"][0]) == ""


def test_the_latest_come_first_where_times_are_known(results):
    log = results.data.log
    timed = replace(results.data, log=replace(log, timestamps=np.arange(len(log), dtype=np.int64)))
    user = recommended(results, timed, np.array([3]))[0]
    assert user.taken["train"].tolist() == log.items[(log.users == 3) & (log.splits == 0)][::-1].tolist()


def test_items_with_a_picture_show_it_and_the_others_their_title(results):
    markup = examples_markup(results, users=30, seed=0, budget=BUDGET)
    cards = re.findall(r'<li[^>]* title="([^"]*)">(.*?)</li>', markup)
    for title, card in cards:
        number = 0 if title == html.escape(HOSTILE) else int(title.rpartition("-")[2])
        pictured = number % 2 == 0 and number != 18  # 18 does not open
        assert ("<img" in card) == pictured
        assert title in card
    assert {title for title, _ in cards} >= {html.escape(HOSTILE)}


def test_a_list_says_how_many_of_its_items_were_hits(results):
    markup = examples_markup(results, users=30, seed=0, budget=BUDGET)
    shelves = re.findall(r'<div class="shelf recommended">.*?</div>', markup)
    assert len(shelves) == 30 * 3
    for shelf in shelves:
        assert int(re.search(r"(\d+) hits?<", shelf).group(1)) == shelf.count(">hit<") == shelf.count('class="test"')
    assert any('class="test"' in shelf for shelf in shelves)


def test_a_row_without_a_run_has_an_empty_shelf_that_says_so(page_study):
    (results,) = gather_results(with_failures(page_study))
    markup = examples_markup(results, users=1, seed=0, budget=BUDGET)
    assert "<h4>broken<br><small>no run is finished</small></h4><ul></ul>" in markup


def test_without_the_dataset_the_reason_stands_in_place_of_examples(results):
    absent = replace(results, data=None, absence="it is <gone>")
    assert examples_markup(absent, users=1, seed=0, budget=BUDGET) == (
        '<p class="note">No examples: it is &lt;gone&gt;.</p>'
    )
