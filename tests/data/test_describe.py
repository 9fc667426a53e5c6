import io
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from alignrec.data import ITEM_COLUMNS, Catalogue, Dataset, InteractionLog, Vocabulary, describe, render
from alignrec.data.describe import DegreeBin
from alignrec.errors import ArtifactError
from alignrec.features import FeatureTable, save_features


@pytest.fixture
def dataset():
    rows = [
        {"item_id": "x", "title": "X", "image": "x.jpg"},
        {"item_id": "y", "categories": []},
        {"item_id": "z", "categories": ["c"]},
    ]
    catalogue = pl.DataFrame([dict.fromkeys(ITEM_COLUMNS) | row for row in rows], schema=dict(ITEM_COLUMNS))
    users, items, splits = [0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [0, 1, 2, 0, 0]
    return Dataset(
        "toy",
        Vocabulary(("a", "b", "c"), "user"),
        Vocabulary(("x", "y", "z"), "item"),
        InteractionLog(np.array(users, np.int32), np.array(items, np.int32), np.array(splits, np.int8)),
        Catalogue(catalogue),
        about={
            "source": {"kind": "mmrec", "files": {"toy.inter": "ab" * 32}},
            "seed": 3,
            "split": {"rule": "mmrec", "rows_without_train": 1},
            "cleaning": {"core": 5, "below_core": 12, "repeated": 2},
            "skipped": {
                "rows": 5,
                "counts": {"no item": 4, "no user": 1},
                "examples": {"no item": "toy.inter line 9", "no user": "toy.inter line 2"},
            },
            "images": {"missing": 1, "broken": 0, "examples": {"y": "y.jpg: missing"}},
        },
    )


def text(description):
    console = Console(width=100, file=io.StringIO())
    console.print(render(description))
    return console.file.getvalue()


def test_sizes_density_and_splits_are_counted(dataset):
    found = describe(dataset)
    assert (found.users, found.items, found.interactions) == (3, 3, 5)
    assert found.density == pytest.approx(5 / 9)
    assert found.splits == {"train": 3, "valid": 1, "test": 1}


def test_items_without_a_train_row_are_cold(dataset):
    found = describe(dataset)
    assert found.cold_items == 1  # z is in test only
    assert found.users_without_train == 1  # c


def test_items_without_image_or_text_are_counted(dataset):
    found = describe(dataset)
    assert found.items_without_image == 2
    assert found.items_without_text == 1  # z has a category, y an empty list of them


def test_degrees_count_all_splits(dataset):
    found = describe(dataset)
    assert found.user_degrees["min"] == 0
    assert found.user_degrees["50%"] == 2
    assert found.item_degrees["max"] == 2


def test_histogram_bins_double_in_width(dataset):
    counts = [1, 2, 3, 4, 7, 8]
    users = np.repeat(np.arange(6), counts).astype(np.int32)
    items = np.concatenate([np.arange(n) for n in counts]).astype(np.int32)
    log = InteractionLog(users, items, np.zeros(len(users), np.int8))
    names = tuple("abcdefgh")
    wide = replace(dataset, users=Vocabulary(names[:6]), items=Vocabulary(names), log=log)
    assert describe(wide).user_histogram == (
        DegreeBin(1, 1, 1),
        DegreeBin(2, 3, 2),
        DegreeBin(4, 7, 2),
        DegreeBin(8, 15, 1),
    )
    assert sum(b.count for b in describe(wide).item_histogram) == 8


def test_users_without_any_row_have_a_bin_of_their_own(dataset):
    assert describe(dataset).user_histogram[0] == DegreeBin(0, 0, 1)


def test_features_are_described_by_shape_and_hash(dataset, tmp_path):
    dataset = dataset.save(tmp_path / "toy")
    table = FeatureTable("pixels", "image", dataset.items.ids, np.ones((3, 4), np.float32))
    save_features(tmp_path / "toy" / "features", table)
    (found,) = describe(dataset).features
    assert (found.name, found.modality, found.items, found.size) == ("pixels", "image", 3, 4)
    assert found.hash == table.content_hash
    assert "3 x 4 " in text(describe(dataset))


def test_vectors_that_were_filled_in_are_counted(dataset, tmp_path):
    dataset = dataset.save(tmp_path / "toy")
    provenance = {"items_without_vector": 2}
    table = FeatureTable("image", "image", dataset.items.ids, np.ones((3, 4), np.float32), provenance)
    save_features(tmp_path / "toy" / "features", table)
    assert describe(dataset).as_dict()["features"][0]["items_without_vector"] == 2
    assert "3 x 4, 2 items without a vector got the mean" in text(describe(dataset))


def test_a_damaged_description_of_features_is_refused(dataset, tmp_path):
    dataset = dataset.save(tmp_path / "toy")
    save_features(
        tmp_path / "toy" / "features", FeatureTable("pixels", "image", dataset.items.ids, np.ones((3, 4), np.float32))
    )
    (tmp_path / "toy" / "features" / "pixels.json").write_text('{"name": "pixels"}')
    with pytest.raises(ArtifactError, match=r"pixels\.json describes no features, it lacks modality, items, size"):
        describe(dataset)


def test_the_dictionary_is_json(dataset):
    found = json.loads(json.dumps(describe(dataset).as_dict()))
    assert found["family"]["name"] == "other"
    assert found["hash"] == dataset.content_hash
    assert found["user_histogram"][0] == {"low": 0, "high": 0, "count": 1}


def test_the_terminal_shows_what_matters(dataset):
    shown = text(describe(dataset))
    for part in (
        "3 train / 1 valid / 1 test",
        "rule mmrec, seed 3",
        "1 without a train interaction",
        "mmrec toy.inter abababababab",
        "2 repeated, 12 below the 5-core, 1 of users without train",
        "4: no item (first toy.inter line 9); 1: no user (first toy.inter line 2)",
        "1 missing (such as y: y.jpg: missing)",
        "2 items without image, 1 without text",
    ):
        assert part in shown


def test_the_fullest_bin_has_the_longest_bar(dataset):
    bars = [line for line in text(describe(dataset)).splitlines() if "2-3" in line]
    assert bars[0].count("█") == 40  # two users and two items, in both columns the most: 20 blocks each


def test_a_dataset_without_a_history_is_described_all_the_same(dataset):
    assert "unknown" in text(describe(replace(dataset, about={})))


def test_the_hash_is_shown_whole_on_a_narrow_terminal(dataset):
    console = Console(width=60, file=io.StringIO())
    console.print(render(describe(dataset)))
    assert "…" not in console.file.getvalue().partition("interactions per user")[0]


def test_brackets_in_ids_are_shown_as_they_are(dataset):
    images = {"missing": 1, "examples": {"[/b]": "[red].jpg: missing"}}
    assert "[/b]: [red].jpg" in text(describe(replace(dataset, name="[/x]", about={"images": images})))
