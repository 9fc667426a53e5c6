from datetime import UTC, date, datetime

import polars as pl
import pytest

from alignrec.data.table_values import as_category_lists, as_ids, as_numbers, as_seconds, as_splits, as_texts


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (["007", "7", " x", "", "  ", None], ["007", "7", " x", None, None, None]),
        ([7, 8, None], ["7", "8", None]),
        ([7.0, 8.5, float("nan")], ["7", None, None]),
        ([[1], [2]], [None, None]),
    ],
)
def test_ids_stay_the_users_own_strings(values: list[object], ids: list[str | None]) -> None:
    assert as_ids(pl.Series(values)).to_list() == ids


def test_categorical_ids_are_their_names() -> None:
    assert as_ids(pl.Series(["b", "a", "b"], dtype=pl.Categorical)).to_list() == ["b", "a", "b"]


def test_numbers_are_finite() -> None:
    texts = pl.Series(["4.5", " 3 ", "-1e2", "nan", "inf", "x", "", None])
    assert as_numbers(texts).to_list() == [4.5, 3.0, -100.0, None, None, None, None, None]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("978300760", 978300760),
        ("978300760000", 978300760),
        ("978300760.9", 978300760),
        ("2000-12-31T22:12:40", 978300760),
        ("2000-12-31 22:12:40", 978300760),
        ("2000-12-31T22:12:40Z", 978300760),
        ("2001-01-01T00:12:40.5+02:00", 978300760),
        ("2000-12-31", 978220800),
        ("1969-12-31T23:59:59.5", -1),
        ("-5", -5),
        ("1e15", None),
        ("31.12.2000", None),
        ("", None),
    ],
)
def test_times_become_seconds_since_1970(text: str, seconds: int | None) -> None:
    assert as_seconds(pl.Series([text, "0"])).to_list() == [seconds, 0]


def test_typed_times_become_seconds() -> None:
    moment = datetime(2000, 12, 31, 22, 12, 40)
    assert as_seconds(pl.Series([moment])).to_list() == [978300760]
    assert as_seconds(pl.Series([moment.replace(tzinfo=UTC)])).to_list() == [978300760]
    assert as_seconds(pl.Series([date(2000, 12, 31)])).to_list() == [978220800]
    assert as_seconds(pl.Series([978300760000, 978300760])).to_list() == [978300760, 978300760]


def test_splits_are_numbers_or_names() -> None:
    assert as_splits(pl.Series(["0", "1", "2", "train", "Valid", "test", "3", ""])).to_list() == [
        *(0, 1, 2, 0, 1, 2),
        *(None, None),
    ]
    assert as_splits(pl.Series([0, 2])).to_list() == [0, 2]


def test_texts_are_stripped_and_lists_joined() -> None:
    texts = as_texts(pl.Series([" a  b ", "", None, '["one", "two"]', "[1, 2]", "[sic] a title]"]))
    assert texts.to_list() == ["a  b", None, None, "one two", "[1, 2]", "[sic] a title]"]
    assert as_texts(pl.Series([["one", None, "two"], []])).to_list() == ["one two", None]
    assert as_texts(pl.Series([7])).to_list() == ["7"]


def test_categories_are_lists_however_they_are_written() -> None:
    column = pl.Series(["Toys|Dolls| Toys", '["Toys", "Dolls"]', '[["Toys"], ["Dolls"]]', "", None, "Art, Crafts"])
    toys = ["Toys", "Dolls"]
    assert as_category_lists(column).to_list() == [toys, toys, toys, None, None, ["Art, Crafts"]]
    assert as_category_lists(pl.Series(["a>b"]), ">").to_list() == [["a", "b"]]
    assert as_category_lists(pl.Series([["a", "b|c"]])).to_list() == [["a", "b|c"]]


def test_nan_is_no_text() -> None:
    assert as_texts(pl.Series([1.5, float("nan"), None])).to_list() == ["1.5", None, None]


@pytest.mark.parametrize(
    ("cell", "members"),
    [
        ("['Toys', \"Kids' games\"]", ["Toys", "Kids' games"]),
        ("[['a', 'b'], ['c']]", ["a", "b", "c"]),
        ("['a', None]", ["a"]),
        (r"['C:\d']", [r"C:\d"]),
        ("[]", None),
        ("[Live]", ["[Live]"]),
        ("['a'", ["['a'"]),
        ("[print(1)]", ["[print(1)]"]),
        ("[{[]: 1}]", ["[{[]: 1}]"]),
    ],
)
def test_a_list_as_pandas_writes_it_into_a_cell_is_a_list_and_nothing_else_is(
    cell: str, members: list[str] | None
) -> None:
    assert as_category_lists(pl.Series([cell])).to_list() == [members]
