import shutil

import numpy as np
import pytest
import torch

from alignrec.data import Dataset
from alignrec.encoders import image_cache
from alignrec.encoders.catalogue_stream import CatalogueStream
from alignrec.encoders.image_cache import build_image_cache

BATCHES = [range(16), range(16, 32), range(32, 40)]


@pytest.fixture
def own_shop(shop_folder, tmp_path):
    """A copy without a cache."""
    return Dataset.load(shutil.copytree(shop_folder, tmp_path / "shop", ignore=shutil.ignore_patterns("cache")))


@pytest.fixture
def stream_of(readers):
    def make(data, max_length=readers.max_length, **others):
        return CatalogueStream(data, readers.images, readers.text, max_length, **others)

    return make


def test_it_reads_what_the_prepared_inputs_hold(own_shop, readers, stream_of):
    stream, prepared = stream_of(own_shop), readers.inputs(Dataset.load(own_shop.path))
    for streamed, batch in zip(stream.read(BATCHES), prepared.read(BATCHES), strict=True):
        for name in ("images", "tokens", "padding", "has_image", "has_text"):
            assert torch.equal(getattr(streamed, name), getattr(batch, name)), name
    assert np.array_equal(stream.has_image, prepared.has_image)
    assert np.array_equal(stream.has_text, prepared.has_text)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_first_items_are_there_before_the_last_are_decoded(own_shop, stream_of, monkeypatch, workers):
    monkeypatch.setattr(image_cache, "_CHUNK", 4)
    stream = stream_of(own_shop, workers=workers)
    batches = stream.read([range(4), range(4, 40)])
    assert next(batches).images[1].any()
    (partial,) = (own_shop.path / "cache").glob("*.partial")
    outcomes = (partial / "outcomes.bin").read_bytes()
    assert outcomes[:4] == bytes([2, 0, 2, 0])  # two of them are missing
    assert outcomes[-4:] == b"\xff" * 4
    batches.close()


def test_reading_to_the_end_finishes_the_cache_even_where_no_item_is_asked_for(own_shop, readers, stream_of):
    assert list(stream_of(own_shop).read([])) == []
    finished = build_image_cache(own_shop, readers.images).folder
    assert [path.name for path in finished.parent.glob("images-*")] == [finished.name]


def test_pictures_that_are_not_read_are_not_decoded(own_shop, stream_of):
    stream = stream_of(own_shop, modality="text")
    (batch,) = stream.read([range(40)])
    assert not (own_shop.path / "cache").exists()
    assert not batch.images.any()
    assert not stream.has_image.any()
    assert stream.picture_report() is None


def test_texts_that_are_not_read_are_empty(own_shop, stream_of):
    stream = stream_of(own_shop, modality="image")
    (batch,) = stream.read([range(40)])
    assert batch.tokens.tolist() == [[0, 2]] * 40
    assert not stream.has_text.any()


def test_its_hash_changes_with_all_that_is_read_and_nothing_else(own_shop, stream_of):
    first = stream_of(own_shop).content_hash
    assert stream_of(own_shop, workers=2).content_hash == first
    changed = [stream_of(own_shop, max_length=10), stream_of(own_shop, modality="text")]
    unread = stream_of(own_shop, modality="image").content_hash
    assert stream_of(own_shop, max_length=10, modality="image").content_hash == unread
    own_shop.image_path(5).unlink()
    changed.append(stream_of(own_shop))
    assert len({first, unread, *(stream.content_hash for stream in changed)}) == 5


def test_pictures_are_reported(own_shop, stream_of):
    stream = stream_of(own_shop)
    list(stream.read(BATCHES))
    assert stream.picture_report().counts == {"found": 38, "missing": 2}
