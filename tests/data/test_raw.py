import pytest

from alignrec.data import ITEM_COLUMNS, SkipLog
from alignrec.errors import DataError


def test_the_first_malformed_row_stops_with_place_reason_and_remedy():
    with pytest.raises(
        DataError, match=r"^a\.csv line 3: no item; fill it in, or skip such rows with --on-error skip$"
    ):
        SkipLog().bad_row("a.csv line 3", "no item", "fill it in")


def test_skipped_rows_are_counted_by_reason_with_the_first_place():
    log = SkipLog("skip")
    for line, reason in ((3, "no item"), (5, "no item"), (9, "no user")):
        log.bad_row(f"a.csv line {line}", reason, "fill it in")
    assert log.counts == {"no item": 2, "no user": 1}
    assert log.examples == {"no item": "a.csv line 3", "no user": "a.csv line 9"}
    assert log.total == 3


def test_a_catalogue_row_starts_with_the_item_and_ends_with_its_picture():
    assert list(ITEM_COLUMNS) == ["item_id", "title", "brand", "categories", "description", "image"]
