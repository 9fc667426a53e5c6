import hashlib

import numpy as np
import polars as pl
import pytest
from PIL import Image

from alignrec.data import ATTRIBUTES_FILE, Dataset, ShopSettings, draw_shop
from alignrec.data.shop_attributes import ATTRIBUTES
from alignrec.data.splitting import mmrec_sizes
from alignrec.errors import ArtifactError, SettingsError
from alignrec.features import FeatureTable

SMALL = {"items": 120, "users": 60, "image_size": 32}


def small(**changes):
    return ShopSettings.create(SMALL | changes)


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "shop"
    draw_shop(path, settings=small(), seed=1)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The default shop without its pictures."""
    return draw_shop(tmp_path_factory.mktemp("whole") / "shop", settings=ShopSettings(pictures=False))


def test_the_same_seed_gives_the_same_bytes(folder, tmp_path):
    draw_shop(tmp_path / "again", settings=small(), seed=1)
    assert digests(tmp_path / "again") == digests(folder)


def test_another_seed_gives_another_shop(folder, tmp_path):
    draw_shop(tmp_path / "other", settings=small(), seed=2)
    ours, theirs = digests(folder), digests(tmp_path / "other")
    assert ours.keys() == theirs.keys()
    assert all(
        ours[name] != theirs[name] for name in ours if name.endswith((".jpg", "s.parquet")) and "users" not in name
    )


def test_every_item_has_a_picture_inside_the_folder(folder):
    dataset = Dataset.load(folder)
    assert dataset.n_items == 120
    for item in range(dataset.n_items):
        with Image.open(dataset.image_path(item)) as picture:
            assert picture.size == (32, 32)
    assert dataset.catalogue.frame["image"].str.starts_with("images/").all()


def test_what_is_returned_is_what_is_loaded(tmp_path):
    drawn = draw_shop(tmp_path / "shop", settings=small(users=20))
    loaded = Dataset.load(tmp_path / "shop")
    assert loaded.content_hash == drawn.content_hash
    assert drawn.path == loaded.path
    assert loaded.about["source"]["settings"]["users"] == 20


def test_users_are_split_by_the_rule_of_mmrec(folder):
    dataset = Dataset.load(folder)
    counts = np.diff(dataset.interactions.indptr)
    valid, test = mmrec_sizes(counts)
    assert np.diff(dataset.split("valid").indptr).tolist() == valid.tolist()
    assert np.diff(dataset.split("test").indptr).tolist() == test.tolist()


def test_the_truth_lies_beside_the_dataset_and_is_no_feature(folder):
    truth = pl.read_parquet(folder / ATTRIBUTES_FILE)
    dataset = Dataset.load(folder)
    assert truth["item_id"].to_list() == list(dataset.items.ids)
    assert set(ATTRIBUTES) < set(truth.columns)
    assert dataset.feature_names == []
    assert not set(ATTRIBUTES) - {"brand"} & set(dataset.catalogue.schema)


def test_the_default_shop_is_sparse_with_a_long_tail(whole):
    assert (whole.n_users, whole.n_items) == (2000, 2000)
    per_user, per_item = np.diff(whole.interactions.indptr), np.diff(whole.interactions.T.tocsr().indptr)
    assert per_user.min() == 5
    assert 8.5 < per_user.mean() < 9.5
    most_bought = np.sort(per_item)[::-1]
    assert most_bought[:200].sum() / most_bought.sum() > 0.3
    assert (per_item <= 3).mean() > 0.1


def test_who_knows_the_attributes_knows_what_is_bought(whole):
    """Mean of what a user bought in training, compared with every item: far above popularity, let alone chance."""
    truth = pl.read_parquet(whole.path / ATTRIBUTES_FILE)
    known = np.concatenate([truth[name].to_dummies().to_numpy() for name in ATTRIBUTES], axis=1).astype(np.float32)
    table = FeatureTable("oracle", "truth", whole.items.ids, known)
    train, test = whole.split("train").toarray(), whole.split("test").toarray()

    def recall(scores):
        best = np.argsort(-np.where(train > 0, -np.inf, scores), axis=1, kind="stable")[:, :20]
        return (np.take_along_axis(test, best, axis=1).sum(axis=1) / test.sum(axis=1)).mean()

    by_attributes, by_popularity = (
        recall(train @ table.matrix @ table.matrix.T),
        recall(np.tile(train.sum(0), (2000, 1))),
    )
    assert by_attributes > 0.3
    assert by_attributes > 3 * by_popularity
    assert by_popularity > 3 * 20 / 2000


def test_a_shop_is_not_drawn_over_something_else(folder):
    before = digests(folder)
    with pytest.raises(ArtifactError, match="already exists"):
        draw_shop(folder, settings=small())
    assert digests(folder) == before


@pytest.mark.parametrize("values", [{"items": 3}, {"texture_in_text": 1.5}, {"item": 30}])
def test_impossible_shops_are_refused(values):
    with pytest.raises(SettingsError):
        ShopSettings.create(values)


def test_a_shop_without_pictures_names_none(tmp_path):
    dataset = draw_shop(tmp_path / "words", settings=small(pictures=False))
    assert dataset.catalogue.frame["image"].null_count() == dataset.n_items
    assert dataset.catalogue.frame.drop("image").equals(
        draw_shop(tmp_path / "both", settings=small()).catalogue.frame.drop("image")
    )


def test_the_smallest_shop_can_be_drawn(tmp_path):
    dataset = draw_shop(tmp_path / "tiny", settings=ShopSettings(items=20, users=1, image_size=16))
    assert len(dataset.log) == 5
