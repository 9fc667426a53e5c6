import hashlib

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from alignrec.data import fingerprint
from alignrec.data.fingerprint import hash_frame, hash_strings

rows = st.lists(st.one_of(st.none(), st.text(max_size=4)), max_size=8)


def frame(texts, lists=None):
    columns = {"text": pl.Series(texts, dtype=pl.String)}
    if lists is not None:
        columns["list"] = pl.Series(lists, dtype=pl.List(pl.String))
    return pl.DataFrame(columns)


@given(rows, rows)
def test_two_columns_have_one_hash_only_if_they_are_equal(first, second):
    assert (hash_frame(frame(first)) == hash_frame(frame(second))) == (first == second)


def test_the_hash_is_that_of_count_lengths_and_bytes():
    lengths = b"".join(n.to_bytes(8, "little", signed=True) for n in (1, -1, 2))
    expected = hashlib.sha256(b"text\n" + b"3\n" + lengths + "aé".encode()).hexdigest()
    assert hash_frame(frame(["a", None, "é"])) == expected


def test_where_a_list_ends_counts():
    one, other = [["a", "b"], ["c"], None], [["a"], ["b", "c"], None]
    assert hash_frame(frame(["x"] * 3, one)) != hash_frame(frame(["x"] * 3, other))


def test_the_words_of_a_list_count():
    assert hash_frame(frame(["x"], [["a", "b"]])) != hash_frame(frame(["x"], [["a", "c"]]))


def test_an_empty_list_is_not_null():
    assert hash_frame(frame(["x"], [[]])) != hash_frame(frame(["x"], [None]))


def test_blocks_cover_all_rows(monkeypatch):
    monkeypatch.setattr(fingerprint, "_BLOCK", 2)
    assert hash_strings(["a", "b", "c", "d", "e"]) != hash_strings(["a", "b", "c", "d", "f"])
