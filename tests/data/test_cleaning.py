import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignrec.data.cleaning import clean, first_of_each_pair, k_core
from alignrec.errors import DataError

pairs = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=60)


def codes(rows):
    array = np.asarray(rows, dtype=np.int32)
    return array[:, 0], array[:, 1]


def peel(rows, core):
    """The k-core by taking away one user or item at a time."""
    rows = list(rows)
    while True:
        for side in (0, 1):
            counts = {row[side]: sum(other[side] == row[side] for other in rows) for row in rows}
            weak = next((key for key, count in counts.items() if count < core), None)
            if weak is not None:
                rows = [row for row in rows if row[side] != weak]
                break
        else:
            return rows


def test_of_a_repeated_pair_the_first_row_stays():
    users, items = codes([(0, 1), (1, 0), (0, 1), (0, 0)])
    assert first_of_each_pair(users, items).tolist() == [True, True, False, True]


def test_dropping_one_item_can_drop_a_user_in_the_next_round():
    # item 2 has one row; without it user 2 has only one; items 0 and 1 keep users 0 and 1
    users, items = codes([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 2)])
    rows, rounds = k_core(users, items, 2)
    assert rows.tolist() == [True, True, True, True, False, False]
    assert rounds == 2


@given(pairs, st.integers(0, 4))
def test_the_k_core_is_the_one_found_by_peeling_in_any_order(rows, core):
    rows = list(dict.fromkeys(rows))
    users, items = codes(rows)
    kept, _ = k_core(users, items, core)
    assert [row for row, stays in zip(rows, kept, strict=True) if stays] == peel(rows, core)


@given(pairs, st.integers(0, 3))
def test_every_row_is_kept_or_counted_once(rows, core):
    users, items = codes(rows)
    try:
        kept, report = clean(users, items, core=core)
    except DataError:
        return
    assert len(kept) == report.kept == report.read - report.repeated - report.below_core
    assert len({rows[row] for row in kept}) == len(kept)


def test_a_pair_stays_if_a_later_rating_is_high_enough():
    users, items = codes([(0, 0), (0, 0), (0, 1)])
    kept, report = clean(users, items, np.array([2.0, 5.0, np.nan]), min_rating=4)
    assert kept.tolist() == [1]
    assert (report.below_rating, report.repeated) == (2, 0)


def test_the_report_counts_users_and_items_of_the_core():
    users, items = codes([(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)])
    _, report = clean(users, items, core=2)
    assert (report.core_users, report.core_items, report.below_core, report.core_rounds) == (1, 1, 1, 1)


def test_an_empty_core_says_to_take_a_smaller_one():
    with pytest.raises(DataError, match=r"the 5-core is empty.*smaller --core"):
        clean(*codes([(0, 0), (1, 1)]), core=5)


def test_ratings_all_too_low_is_an_error():
    with pytest.raises(DataError, match="no interaction is rated 4 or higher"):
        clean(*codes([(0, 0)]), np.array([3.0]), min_rating=4)


def test_no_rows_at_all_is_an_error():
    empty = np.zeros(0, dtype=np.int32)
    with pytest.raises(DataError, match="holds no interactions"):
        clean(empty, empty, core=5)


def test_a_minimum_rating_without_ratings_is_an_error():
    with pytest.raises(DataError, match="source has no ratings"):
        clean(*codes([(0, 0)]), min_rating=4)


def test_a_negative_core_is_refused():
    with pytest.raises(DataError, match="core must be 0"):
        clean(*codes([(0, 0)]), core=-1)
