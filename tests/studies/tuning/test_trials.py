import sqlite3
import sys
from contextlib import closing

import pytest

from alignrec.errors import ArtifactError, MissingExtraError
from alignrec.studies.tuning.space import build_space
from alignrec.studies.tuning.trials import TrialBook, require_optuna

pytest.importorskip("optuna")

SPACE = build_space("lightgcn", [], {}, {"model.n_layers": [1, 2, 3]}, defaults=False)


def open_book(folder, pruner="none", epochs=5):
    require_optuna()
    return TrialBook(folder, SPACE, pruner=pruner, epochs=epochs)


def first_free(stored):
    return {"model.n_layers": len(stored) + 1}


def test_what_was_finished_is_read_back(tmp_path):
    book = open_book(tmp_path)
    claims = [book.claim(4, lambda stored: {"model.n_layers": 1 + len(stored) % 3}) for _ in range(4)]
    book.complete(claims[0], {0: 0.2, 7: 0.4}, {0: 5, 7: 6})
    book.prunes(claims[1], 1, 0.1)
    book.prunes(claims[1], 2, 0.05)
    book.prune(claims[1], {0: 2})
    book.fail(claims[2], "loss is not finite")
    trials = open_book(tmp_path).trials()
    assert [trial.state for trial in trials] == ["complete", "pruned", "failed", "running"]
    assert (trials[0].value, trials[0].values, trials[0].epochs) == (pytest.approx(0.3), {0: 0.2, 7: 0.4}, {0: 5, 7: 6})
    assert (trials[1].value, trials[1].epochs, trials[2].reason) == (0.1, {0: 2}, "loss is not finite")


def test_a_trial_is_claimed_once_while_somebody_holds_it_and_taken_up_when_let_go(tmp_path):
    book, other = open_book(tmp_path), open_book(tmp_path)
    mine = book.claim(2, first_free)
    theirs = other.claim(2, first_free)
    assert (mine.number, theirs.number) == (0, 1)
    assert other.claim(2, first_free) is None
    with book.held(mine):
        pass
    again = other.claim(2, first_free)
    assert (again.number, again.parameters) == (0, mine.parameters)


def test_a_finished_trial_is_never_taken_up(tmp_path):
    book = open_book(tmp_path)
    claim = book.claim(1, first_free)
    with book.held(claim):
        book.complete(claim, {0: 0.1}, {0: 1})
    assert open_book(tmp_path).claim(1, first_free) is None


def test_where_nothing_is_proposed_nothing_is_claimed(tmp_path):
    assert open_book(tmp_path).claim(None, lambda stored: None) is None


def test_the_median_pruner_ends_what_is_below_the_others_and_only_after_some_have_finished(tmp_path):
    book = open_book(tmp_path, pruner="median", epochs=9)
    for number in range(5):
        claim = book.claim(None, lambda stored: {"model.n_layers": 1})
        assert not book.prunes(claim, 1, 0.5 - 0.1 * number)
        book.complete(claim, {0: 0.5}, {0: 1})
    bad, good = (book.claim(None, lambda stored: {"model.n_layers": 2}) for _ in range(2))
    assert book.prunes(bad, 1, 0.2)
    assert not book.prunes(good, 1, 0.4)


def test_a_trial_of_many_epochs_is_not_pruned_in_its_first_ones(tmp_path):
    book = open_book(tmp_path, pruner="median", epochs=50)
    for _ in range(5):
        claim = book.claim(None, lambda stored: {"model.n_layers": 1})
        for epoch in range(1, 6):
            book.prunes(claim, epoch, 0.5)
        book.complete(claim, {0: 0.5}, {0: 5})
    claim = book.claim(None, lambda stored: {"model.n_layers": 2})
    assert [book.prunes(claim, epoch, 0.1) for epoch in range(1, 6)] == [False] * 4 + [True]


def test_a_file_that_is_no_record_is_one_line(tmp_path):
    (tmp_path / "tune.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ArtifactError, match=r"tune\.db is not a usable record"):
        open_book(tmp_path)


def test_the_record_is_plain_sqlite_that_optunas_tools_open(tmp_path):
    open_book(tmp_path).claim(1, first_free)
    with closing(sqlite3.connect(tmp_path / "tune.db")) as database:
        assert database.execute("select study_name from studies").fetchall() == [("tune",)]


def test_without_optuna_one_line_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'alignrec\[tune\]'"):
        require_optuna()
