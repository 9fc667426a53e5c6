import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from alignrec.artifacts import hash_arrays
from alignrec.data import ITEM_COLUMNS, Catalogue, Dataset, InteractionLog, ShopSettings, Vocabulary, draw_shop
from alignrec.data.shop_pictures import draw_picture
from alignrec.encoders import PixelSettings, TfidfSettings, classical, extract_pixels, extract_tfidf
from alignrec.errors import FeatureError


def make(folder, rows):
    """A dataset without interactions from partial catalogue rows."""
    full = [dict.fromkeys(ITEM_COLUMNS) | {"item_id": f"i{n}"} | row for n, row in enumerate(rows)]
    nothing = np.zeros(0, dtype=np.int32)
    return Dataset(
        name="toy",
        users=Vocabulary(("u",), "user"),
        items=Vocabulary(tuple(row["item_id"] for row in full), "item"),
        log=InteractionLog(nothing, nothing, nothing.astype(np.int8)),
        catalogue=Catalogue(pl.DataFrame(full, schema=dict(ITEM_COLUMNS))),
        path=folder,
    )


def with_pictures(folder, pictures):
    for n, picture in enumerate(pictures):
        picture.save(folder / f"{n}.png")
    return make(folder, [{"image": f"{n}.png"} for n in range(len(pictures))])


def cosine(table, a, b):
    one, other = table.matrix[a], table.matrix[b]
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return draw_shop(
        tmp_path_factory.mktemp("shop") / "shop", settings=ShopSettings(items=240, users=40, image_size=32)
    )


def nearest_share(table, codes):
    """How often an item's nearest neighbour has the same code, against chance."""
    rows = table.matrix / np.linalg.norm(table.matrix, axis=1, keepdims=True)
    similar = rows @ rows.T
    np.fill_diagonal(similar, -np.inf)
    same = (codes[similar.argmax(axis=1)] == codes).mean()
    return same / ((np.unique(codes, return_counts=True)[1] / len(codes)) ** 2).sum()


# pixels


def test_pixels_find_colours_again(shop):
    colours = pl.read_parquet(shop.path / "shop_attributes.parquet")["colour"].to_numpy()
    assert nearest_share(extract_pixels(shop), colours) > 2.5


def test_two_red_things_are_closer_than_a_red_and_a_blue_one(tmp_path):
    rng = np.random.default_rng(0)
    kinds = [
        ("mug", "red"),
        ("mug", "red"),
        ("mug", "blue"),
        *[("hat", c) for c in ("green", "yellow", "pink", "teal")],
    ]
    dataset = with_pictures(tmp_path, [draw_picture(shape, colour, "plain", rng, 64) for shape, colour in kinds])
    table = extract_pixels(dataset)
    assert cosine(table, 0, 1) > cosine(table, 0, 2) + 0.1


def test_pixels_have_as_many_components_as_the_pictures_allow(shop, tmp_path):
    assert extract_pixels(shop, PixelSettings(components=10)).matrix.shape == (240, 10)
    solid = with_pictures(tmp_path, [Image.new("RGB", (20, 30), colour) for colour in ("red", "green", "blue")])
    table = extract_pixels(solid)
    assert table.matrix.shape == (3, 2)  # centred rows of three pictures span two dimensions
    assert table.modality == "image"


def test_components_keep_distances_of_the_standardised_descriptors(tmp_path):
    """With all components kept, principal components are a rotation."""
    rng = np.random.default_rng(1)
    pictures = [Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)) for _ in range(6)]
    table = extract_pixels(with_pictures(tmp_path, pictures), PixelSettings(size=2, colour_bins=1, histogram_weight=0))
    small = np.stack([np.asarray(p.resize((8, 8), Image.Resampling.BOX).reduce(4)) for p in pictures]).reshape(6, -1)
    small = (small - small.mean(axis=0)) / small.std(axis=0) / np.sqrt(small.shape[1])
    expected = np.linalg.norm(small[:, None] - small[None], axis=-1)
    got = np.linalg.norm(table.matrix[:, None] - table.matrix[None], axis=-1)
    assert got == pytest.approx(expected, abs=1e-5)


def test_pixels_repeat_to_the_byte(shop):
    assert hash_arrays(extract_pixels(shop).matrix) == hash_arrays(extract_pixels(shop).matrix)


def test_items_without_a_readable_picture_get_the_mean_and_are_counted(shop, tmp_path):
    folder = tmp_path / "shop"
    shutil.copytree(shop.path, folder)
    dataset = Dataset.load(folder)
    dataset.image_path(3).write_bytes(b"no picture")
    dataset.image_path(5).unlink()
    catalogue = dataset.catalogue.frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise(pl.col("image")).alias("image")
    )
    table = extract_pixels(replace(dataset, catalogue=Catalogue(catalogue)))
    assert table.provenance["pictures"] == {"found": 237, "unnamed": 1, "missing": 1, "broken": 1}
    found = np.delete(table.matrix, [3, 5, 7], axis=0)
    for item in (3, 5, 7):
        assert not table.matrix[item].any()  # exactly zero: nothing is similar to it by rounding
    assert found.mean(axis=0) == pytest.approx(0, abs=1e-6)


def test_a_catalogue_of_broken_pictures_is_an_error_in_one_line(tmp_path):
    (tmp_path / "0.png").write_bytes(b"x")
    with pytest.raises(FeatureError, match="0 of 1 pictures can be read"):
        extract_pixels(make(tmp_path, [{"image": "0.png"}]))


def test_equal_pictures_get_equal_rows_without_a_warning(tmp_path):
    table = extract_pixels(with_pictures(tmp_path, [Image.new("RGB", (9, 9), "red")] * 3))
    assert table.matrix == pytest.approx(0)


def test_a_large_catalogue_is_described_in_blocks_like_a_small_one(shop, monkeypatch):
    """Components fitted to a sample describe every item, whatever the size of the blocks."""
    settings = PixelSettings(fit_items=100, components=8)
    monkeypatch.setattr(classical, "_BLOCK", 7)
    blocks = extract_pixels(shop, settings)
    monkeypatch.setattr(classical, "_BLOCK", 1000)
    whole = extract_pixels(shop, settings)
    assert blocks.matrix == pytest.approx(whole.matrix, abs=1e-6)
    assert blocks.provenance["pictures"]["found"] == 240
    assert blocks.provenance["fitted_to"] == 100
    colours = pl.read_parquet(shop.path / "shop_attributes.parquet")["colour"].to_numpy()
    assert nearest_share(blocks, colours) > 2


# tfidf


def test_words_find_categories_and_brands_again(shop):
    truth = pl.read_parquet(shop.path / "shop_attributes.parquet")
    table = extract_tfidf(shop)
    assert nearest_share(table, truth["category"].to_numpy()) > 5
    assert nearest_share(table, truth["brand"].to_numpy()) > 5


def test_a_rare_shared_word_counts_more_than_a_common_one(tmp_path):
    texts = ["thing walnut", "thing walnut", "thing plastic", *["thing paper"] * 5]
    table = extract_tfidf(make(tmp_path, [{"title": text} for text in texts]))
    assert cosine(table, 0, 1) == pytest.approx(1, abs=1e-5)
    assert cosine(table, 0, 2) < 0.5


def test_every_text_of_the_catalogue_is_read(tmp_path):
    rows = [{"title": "alpha"}, {"brand": "alpha"}, {"categories": ["alpha", None]}, {"description": "alpha"}]
    table = extract_tfidf(make(tmp_path, [*rows, {"title": "beta"}]))
    assert all(cosine(table, 0, other) == pytest.approx(1, abs=1e-5) for other in (1, 2, 3))
    assert abs(cosine(table, 0, 4)) < 1e-5


def test_cosines_equal_those_of_the_words_when_nothing_is_truncated(tmp_path):
    """Two texts of two words that share one: with idf equal for all words the cosine is a half."""
    texts = ["red mug", "red hat", "blue mug", "blue hat"]
    table = extract_tfidf(make(tmp_path, [{"title": text} for text in texts]))
    assert cosine(table, 0, 1) == pytest.approx(0.5, abs=1e-5)
    assert cosine(table, 0, 3) == pytest.approx(0.0, abs=1e-5)


def test_phrases_are_counted_when_asked_for(tmp_path):
    texts = ["tea pot lid", "pot tea lid", "lid of glass"]
    dataset = make(tmp_path, [{"title": text} for text in texts])
    words, phrases = extract_tfidf(dataset), extract_tfidf(dataset, TfidfSettings(longest_phrase=2))
    assert cosine(words, 0, 1) == pytest.approx(1, abs=1e-5)
    assert cosine(phrases, 0, 1) < 0.9


def test_items_without_text_get_the_mean_and_are_counted(tmp_path):
    rows = [
        {"title": "red mug"},
        {"title": None, "categories": []},
        {"title": "blue hat"},
        {"title": "?!"},
        {"title": "  "},
    ]
    table = extract_tfidf(make(tmp_path, rows))
    assert table.provenance["texts"] == {"found": 2, "empty": 2, "no_known_word": 1}
    for item in (1, 3, 4):
        assert table.matrix[item] == pytest.approx(table.matrix[[0, 2]].mean(axis=0), abs=1e-6)


@pytest.mark.parametrize(
    ("texts", "settings"),
    [([None, ""], TfidfSettings()), (["a", "b"], TfidfSettings()), (["red", "blue"], TfidfSettings(least_items=2))],
)
def test_a_catalogue_without_countable_words_is_an_error_in_one_line(tmp_path, texts, settings):
    with pytest.raises(FeatureError, match="no words to count in the texts of 2 items"):
        extract_tfidf(make(tmp_path, [{"title": text} for text in texts]), settings)


def test_one_text_alone_is_enough(tmp_path):
    assert extract_tfidf(make(tmp_path, [{"title": "one lonely mug"}])).matrix.shape == (1, 1)


def test_words_repeat_to_the_byte(shop):
    assert hash_arrays(extract_tfidf(shop).matrix) == hash_arrays(extract_tfidf(shop).matrix)


# both


@pytest.mark.parametrize("extract", [extract_pixels, extract_tfidf])
def test_provenance_says_how_to_make_the_table_again(shop, extract):
    about = extract(shop, seed=5).provenance
    assert about["seed"] == 5
    assert about["dataset"] == shop.content_hash
    assert about["settings"]["components"] == 128
    assert {"scikit-learn", "numpy"} <= set(about["versions"])
    assert 0.5 < about["explained_variance"] <= 1.0
