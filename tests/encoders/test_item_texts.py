import numpy as np
import polars as pl
import pytest

from alignrec.data import ITEM_COLUMNS, Catalogue, Dataset, InteractionLog, Vocabulary
from alignrec.encoders.item_texts import item_texts, items_with_text, text_lengths
from alignrec.errors import UsageError


@pytest.fixture
def dataset():
    values = [
        {"title": "Red shoe", "brand": "Acme", "description": "Runs.", "categories": ["Shoes", None, "Running"]},
        {"title": "Blue shirt"},
        {"description": " Soft. "},
        {},
    ]
    rows = [dict.fromkeys(ITEM_COLUMNS) | {"item_id": f"i{n}"} | value for n, value in enumerate(values)]
    nothing = np.zeros(0, dtype=np.int32)
    ids = tuple(row["item_id"] for row in rows)
    return Dataset(
        name="toy",
        users=Vocabulary(("u",), "user"),
        items=Vocabulary(ids, "item"),
        log=InteractionLog(nothing, nothing, nothing.astype(np.int8)),
        catalogue=Catalogue(pl.DataFrame(rows, schema=dict(ITEM_COLUMNS))),
    )


def test_an_items_text_is_title_brand_and_description(dataset):
    assert item_texts(dataset) == ["Red shoe Acme Runs.", "Blue shirt", "Soft.", ""]


def test_categories_may_be_read_too_in_the_order_asked_for(dataset):
    texts = item_texts(dataset, ("title", "categories", "brand"))
    assert texts == ["Red shoe Shoes Running Acme", "Blue shirt", "", ""]


def test_neighbouring_items_may_be_asked_for_alone(dataset):
    assert item_texts(dataset, rows=range(1, 3)) == ["Blue shirt", "Soft."]
    assert item_texts(dataset, rows=range(0)) == []


def test_which_items_have_a_text(dataset):
    assert items_with_text(dataset).tolist() == [True, True, True, False]
    assert text_lengths(dataset).tolist() == list(map(len, item_texts(dataset)))


@pytest.mark.parametrize("columns", [("title", "colour"), ("image",), ()])
def test_columns_that_hold_no_text_are_refused(dataset, columns):
    with pytest.raises(UsageError, match="allowed: title, brand, categories, description"):
        item_texts(dataset, columns)
