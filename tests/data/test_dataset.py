import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from alignrec.data import Catalogue, Dataset, InteractionLog, Vocabulary
from alignrec.errors import ArtifactError, DataError, FeatureError
from alignrec.features import FeatureTable, save_features


@pytest.fixture
def dataset():
    return Dataset(
        name="toy",
        users=Vocabulary(("ann", "bob"), "user"),
        items=Vocabulary(("x", "y", "z"), "item"),
        log=InteractionLog(
            np.array([0, 0, 1, 1], np.int32),
            np.array([2, 0, 1, 0], np.int32),
            np.array([0, 1, 0, 2], np.int8),
            np.array([1, 2, 3, 4], np.int64),
        ),
        catalogue=Catalogue(
            pl.DataFrame(
                {
                    "item_id": ["x", "y", "z"],
                    "title": ["X", None, "Z"],
                    "categories": [["a", "b"], None, []],
                    "image": ["images/x.jpg", None, "/far/z.jpg"],
                },
                schema_overrides={"categories": pl.List(pl.String)},
            )
        ),
        about={"seed": 1},
    )


@pytest.fixture
def folder(dataset, tmp_path):
    dataset.save(tmp_path / "toy")
    return tmp_path / "toy"


def test_a_saved_dataset_loads_as_it_was(dataset, folder):
    loaded = Dataset.load(folder)
    assert (loaded.name, loaded.users, loaded.items, loaded.about) == ("toy", dataset.users, dataset.items, {"seed": 1})
    assert loaded.catalogue.frame.equals(dataset.catalogue.frame)
    for name in ("users", "items", "splits", "timestamps"):
        assert np.array_equal(getattr(loaded.log, name), getattr(dataset.log, name))
    assert loaded.content_hash == dataset.content_hash


def test_splits_are_disjoint_and_make_up_all_interactions(dataset):
    splits = [dataset.split(name) for name in ("train", "valid", "test")]
    assert [split.toarray().tolist() for split in splits] == [
        [[0, 0, 1], [0, 1, 0]],
        [[1, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [1, 0, 0]],
    ]
    assert ((splits[0] + splits[1] + splits[2]) != dataset.interactions).nnz == 0


def test_the_train_view_holds_train_interactions_only(dataset):
    assert (dataset.train_view().interactions != dataset.split("train")).nnz == 0


def test_an_unknown_split_lists_the_known_ones(dataset):
    with pytest.raises(DataError, match="unknown split 'dev'; allowed: train, valid, test"):
        dataset.split("dev")


def test_an_unknown_user_is_named_beside_some_known_ones(dataset):
    assert dataset.users.index("bob") == 1
    with pytest.raises(DataError, match="unknown user 'eve'; there are 2, such as 'ann', 'bob'"):
        dataset.users.index("eve")


def test_an_empty_vocabulary_knows_nobody():
    with pytest.raises(DataError, match="unknown item 'x'; there are 0"):
        Vocabulary((), "item").index("x")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: {"users": Vocabulary(("ann", "rob"), "user")},
        lambda d: {"log": replace(d.log, splits=np.array([0, 2, 0, 1], np.int8))},
        lambda d: {"log": replace(d.log, timestamps=None)},
        lambda d: {"catalogue": Catalogue(d.catalogue.frame.with_columns(title=pl.Series(["X", "", "Z"])))},
    ],
)
def test_any_change_of_content_changes_the_hash(dataset, change):
    assert replace(dataset, **change(dataset)).content_hash != dataset.content_hash


def test_name_and_place_do_not_change_the_hash(dataset, tmp_path):
    assert replace(dataset, name="other", path=tmp_path, about={}).content_hash == dataset.content_hash


def test_pictures_are_found_in_the_folder_or_where_they_are(folder):
    loaded = Dataset.load(folder)
    assert loaded.image_path(0) == folder / "images" / "x.jpg"
    assert loaded.image_path(1) is None
    assert str(loaded.image_path(2)) == "/far/z.jpg"


def test_features_lie_in_the_folder_and_come_in_item_order(folder):
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    save_features(folder / "features", FeatureTable("pixels", "image", ("x", "y", "z"), matrix))
    loaded = Dataset.load(folder)
    assert loaded.feature_names == ["pixels"]
    assert loaded.train_view(["pixels"]).features["pixels"].tolist() == matrix.tolist()
    with pytest.raises(FeatureError, match="no features called 'tfidf' here; there are: pixels"):
        loaded.features("tfidf")


def test_a_dataset_in_memory_has_no_features_on_disk(dataset):
    assert dataset.feature_names == []
    with pytest.raises(DataError, match="save it first"):
        dataset.features("pixels")


@pytest.mark.parametrize("name", ["interactions", "users", "items"])
def test_a_truncated_table_is_one_line_with_a_remedy(folder, name):
    file = folder / f"{name}.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=rf"{name}\.parquet is not readable .*; import the dataset again"):
        Dataset.load(folder)


def test_a_missing_table_is_named(folder):
    (folder / "items.parquet").unlink()
    with pytest.raises(ArtifactError, match=r"items\.parquet is missing; import the dataset again"):
        Dataset.load(folder)


def test_a_table_without_its_column_is_named(folder):
    pl.DataFrame({"name": ["ann"]}).write_parquet(folder / "users.parquet")
    with pytest.raises(ArtifactError, match=r"users\.parquet has no column 'user_id'"):
        Dataset.load(folder)


def test_a_table_changed_by_hand_is_noticed(folder):
    log = pl.read_parquet(folder / "interactions.parquet")
    log.with_columns(split=pl.lit(0, pl.Int8)).write_parquet(folder / "interactions.parquet")
    with pytest.raises(ArtifactError, match=r"do not match its dataset\.json; import the dataset again"):
        Dataset.load(folder)


def test_a_folder_of_another_format_is_refused(folder):
    about = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(ArtifactError, match="has dataset format 99, this version reads 1"):
        Dataset.load(folder)


def test_no_folder_says_how_to_make_one(tmp_path):
    with pytest.raises(ArtifactError, match="make one with 'alignrec data import'"):
        Dataset.load(tmp_path / "nowhere")


def test_saving_over_a_dataset_must_be_asked_for(dataset, folder):
    with pytest.raises(ArtifactError, match="already exists"):
        dataset.save(folder)
    replace(dataset, name="new").save(folder, replace_existing=True)
    assert Dataset.load(folder).name == "new"


def test_a_failure_while_saving_leaves_nothing(dataset, tmp_path):
    with pytest.raises(TypeError):
        replace(dataset, about={"seed": object()}).save(tmp_path / "toy")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_full_for_the_tables_is_one_line(dataset, tmp_path, monkeypatch):
    def full(_frame, _path):
        raise pl.exceptions.ComputeError("No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(
        ArtifactError, match=r"cannot be written \(No space left on device\); is there room on the disk"
    ):
        dataset.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_with_brackets_in_its_name_is_not_taken_for_a_pattern(dataset, tmp_path):
    replace(dataset, name="another").save(tmp_path / "data1")
    dataset.save(tmp_path / "data[1]")
    assert Dataset.load(tmp_path / "data[1]").name == "toy"
