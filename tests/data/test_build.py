import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignrec.artifacts import read_json
from alignrec.data import (
    ITEM_COLUMNS,
    Dataset,
    GivenSplit,
    LeaveOneOutSplit,
    MmrecSplit,
    RatioSplit,
    RawData,
    SkipLog,
    TemporalSplit,
    build_dataset,
    default_core,
    default_split,
)
from alignrec.errors import ArtifactError, DataError, FeatureError
from alignrec.features import FeatureTable


def make(pairs, *, items=None, features=(), order=None, skipped=None, **columns):
    frame = pl.DataFrame(
        {"user": [u for u, _ in pairs], "item": [i for _, i in pairs]} | columns,
        schema_overrides={"user": pl.String, "item": pl.String, "split": pl.Int8, "rating": pl.Float64},
    )
    catalogue = pl.DataFrame([dict.fromkeys(ITEM_COLUMNS) | row for row in items or []], schema=dict(ITEM_COLUMNS))
    users, ids = order or (None, None)
    return RawData(
        "toy",
        frame,
        catalogue,
        {"kind": "test", "files": {"a.csv": "0" * 64}},
        tuple(features),
        skipped or SkipLog(),
        user_order=users,
        item_order=ids,
    )


SQUARE = [("b", "y"), ("a", "x"), ("b", "x"), ("a", "y"), ("c", "x")]


def build(raw, tmp_path, **kwargs):
    return build_dataset(raw, tmp_path / "dataset", **({"core": 0} | kwargs))


def test_users_and_items_are_numbered_by_first_appearance(tmp_path):
    dataset = build(make(SQUARE), tmp_path)
    assert dataset.users.ids == ("b", "a", "c")
    assert dataset.items.ids == ("y", "x")


def test_first_appearance_counts_in_the_cleaned_rows(tmp_path):
    # y comes first in the source, but in a row of z, whom the 2-core drops
    rows = [("z", "y"), ("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]
    assert build(make(rows), tmp_path, core=2).items.ids == ("x", "y")


def test_the_log_is_sorted_by_user_and_keeps_the_order_of_the_source_within(tmp_path):
    log = build(make(SQUARE), tmp_path).log
    assert log.users.tolist() == [0, 0, 1, 1, 2]
    assert log.items.tolist() == [0, 1, 1, 0, 1]


def test_what_is_built_is_what_is_loaded(tmp_path):
    built = build(make(SQUARE, timestamp=[5, 4, 3, 2, 1]), tmp_path)
    loaded = Dataset.load(tmp_path / "dataset")
    assert loaded.content_hash == built.content_hash
    assert loaded.log.timestamps.tolist() == built.log.timestamps.tolist() == [5, 3, 4, 2, 1]
    assert loaded.about == built.about


def test_the_same_source_and_seed_give_the_same_bytes(tmp_path):
    pairs = [(f"u{u}", f"i{i}") for u in range(6) for i in range(8)]
    for name in ("one", "two"):
        build_dataset(make(pairs), tmp_path / name, seed=3)
    files = [file.name for file in (tmp_path / "one").iterdir() if file.is_file()]
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    assert (
        build_dataset(make(pairs), tmp_path / "three", seed=4).content_hash
        != Dataset.load(tmp_path / "one").content_hash
    )


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz")), min_size=1, max_size=40),
    st.sampled_from([MmrecSplit(), RatioSplit(), LeaveOneOutSplit()]),
)
def test_every_pair_of_the_source_is_in_exactly_one_split(tmp_path_factory, pairs, rule):
    dataset = build(make(pairs), tmp_path_factory.mktemp("build"), split=rule)
    splits = [dataset.split(name) for name in ("train", "valid", "test")]
    together = (splits[0] + splits[1] + splits[2]).toarray()
    assert set(np.unique(together)) <= {0.0, 1.0}
    found = {(dataset.users.ids[u], dataset.items.ids[i]) for u, i in np.argwhere(together)}
    assert found == set(pairs)


def test_given_labels_are_kept_and_take_no_core_by_default(tmp_path):
    raw = make(SQUARE, split=[0, 1, 2, 0, 0])
    dataset = build_dataset(raw, tmp_path / "dataset")
    assert dataset.about["cleaning"]["core"] == 0
    assert dataset.split("valid").toarray().tolist() == [[0, 0], [0, 1], [0, 0]]
    assert dataset.split("test").toarray().tolist() == [[0, 1], [0, 0], [0, 0]]


def test_without_labels_the_default_is_mmrecs_rule_on_the_5_core():
    rule = default_split(make(SQUARE))
    assert (rule, default_core(rule), default_core(GivenSplit())) == (MmrecSplit(), 5, 0)


def test_users_without_a_train_row_lose_their_other_rows_and_are_counted(tmp_path):
    dataset = build(make(SQUARE, split=[0, 0, 1, 2, 2]), tmp_path)
    assert len(dataset.log) == 4
    assert dataset.users.ids == ("b", "a", "c")  # c stays known
    split = dataset.about["split"]
    assert (split["users_without_train"], split["rows_without_train"]) == (1, 1)


def test_numbered_sources_keep_their_numbers_also_of_items_without_rows(tmp_path):
    order = (("u0", "u1"), ("i0", "i1", "i2"))
    dataset = build(make([("u1", "i2"), ("u0", "i0")], order=order), tmp_path)
    assert dataset.users.ids == ("u0", "u1")
    assert dataset.items.ids == ("i0", "i1", "i2")
    assert dataset.log.items.tolist() == [0, 2]


def test_after_a_core_the_survivors_of_a_numbered_source_keep_their_order_and_vectors(tmp_path):
    table = FeatureTable("image", "image", ("i0", "i1", "i2"), np.array([[0.0], [1.0], [2.0]], dtype=np.float32))
    rows = [("u1", "i2"), ("u1", "i0"), ("u0", "i2"), ("u0", "i0"), ("u0", "i1")]
    order = (("u0", "u1"), ("i0", "i1", "i2"))
    dataset = build(make(rows, order=order, features=[table]), tmp_path, core=2)
    assert dataset.items.ids == ("i0", "i2")
    assert dataset.features("image").matrix.tolist() == [[0.0], [2.0]]


def test_the_catalogue_has_one_row_per_item_in_index_order(tmp_path):
    items = [{"item_id": "x", "title": "X"}, {"item_id": "unseen", "title": "U"}]
    dataset = build(make(SQUARE, items=items), tmp_path)
    assert dataset.catalogue.frame["title"].to_list() == [None, "X"]
    assert dataset.about["items"] == {"without_row": 1, "repeated_rows": 0}


def test_missing_pictures_are_reported_not_fatal(tmp_path):
    dataset = build(make(SQUARE, items=[{"item_id": "x", "image": "/nowhere/x.jpg"}]), tmp_path)
    assert dataset.about["images"]["missing"] == 1
    assert dataset.about["images"]["examples"] == {"x": "/nowhere/x.jpg: missing"}
    assert dataset.image_path(1) is None


def test_the_folder_tells_where_it_came_from(tmp_path):
    skipped = SkipLog("skip")
    skipped.bad_row("a.csv line 3", "no item", "fill it in")
    build(make(SQUARE * 2, skipped=skipped, rating=[5.0] * 10), tmp_path, min_rating=3, seed=7)
    about = read_json(tmp_path / "dataset" / "dataset.json")["about"]
    assert about["source"] == {"kind": "test", "files": {"a.csv": "0" * 64}}
    assert about["seed"] == 7
    assert (about["cleaning"]["read"], about["cleaning"]["repeated"], about["cleaning"]["kept"]) == (10, 5, 5)
    assert (about["split"]["rule"], about["split"]["family"]["name"]) == ("mmrec", "mmrec or lattice")
    assert about["skipped"] == {"rows": 1, "counts": {"no item": 1}, "examples": {"no item": "a.csv line 3"}}


def test_a_low_rating_is_no_interaction(tmp_path):
    dataset = build(make(SQUARE, rating=[5, 4, 1, 5, None]), tmp_path, min_rating=4)
    assert len(dataset.log) == 3


FAILURES = {
    "the 3-core is empty": ({}, {"core": 3}),
    "needs timestamps": ({}, {"split": TemporalSplit()}),
    "nothing to train on": ({"split": [1, 1, 2, 2, 2]}, {}),
    "interaction 2 has no user": ({"user": ["a", None, "b", "b", "c"]}, {}),
    "interaction 1 has no timestamp": ({"timestamp": [None, 1, 2, 3, 4]}, {}),
}


@pytest.mark.parametrize("message", FAILURES)
def test_a_failure_leaves_no_folder_behind(tmp_path, message):
    columns, options = FAILURES[message]
    with pytest.raises(DataError, match=message):
        build(make(SQUARE, **columns), tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_features_that_lack_an_item_leave_no_folder_behind(tmp_path):
    table = FeatureTable("image", "image", ("x",), np.ones((1, 2), dtype=np.float32))
    with pytest.raises(FeatureError, match="lack 1 of 2 items, first 'y'"):
        build(make(SQUARE, features=[table]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.txt").write_text("keep")
    with pytest.raises(ArtifactError, match="already exists"):
        build(make(SQUARE), tmp_path)
    assert [p.name for p in (tmp_path / "dataset").iterdir()] == ["mine.txt"]
