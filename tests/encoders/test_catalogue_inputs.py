import math
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from golden import load_golden

from alignrec.data import Dataset
from alignrec.encoders import catalogue_inputs
from alignrec.encoders.catalogue_inputs import inverse_document_frequency
from alignrec.encoders.image_cache import build_image_cache
from alignrec.encoders.image_resizing import ImageSettings
from alignrec.encoders.item_texts import item_texts
from alignrec.encoders.patch_kmeans import PatchKMeans, PatchKMeansSettings
from alignrec.encoders.text_tokens import TextTokenizer, TextTokenizerSettings
from alignrec.encoders.vqkd import VqKd


def caches(folder):
    return sorted(path.name for path in (folder / "cache").glob("tokens-*"))


@pytest.fixture
def own_shop(shop_folder, tmp_path):
    """A copy that a test may change; times of change are kept."""
    return shutil.copytree(shop_folder, tmp_path / "shop")


def test_every_item_has_the_tokens_that_the_tokenizers_give_it(shop_folder, readers):
    data = Dataset.load(shop_folder)
    inputs = readers.inputs(data)
    assert len(inputs) == 40
    items = np.array([5, 39, 7])
    ids, padding = inputs.text(items)
    direct = readers.text.encode([item_texts(data)[item] for item in items], 20)
    assert torch.equal(ids, direct.ids)
    assert torch.equal(padding, direct.padding)
    visual = readers.visual.encode(inputs.images.load(items))
    assert np.array_equal(inputs.visual_tokens[items], visual.numpy())
    assert torch.equal(inputs.word_starts, readers.text.word_starts)


def test_batches_in_order_hold_pictures_and_texts_and_who_lacks_them(inputs):
    first, second = inputs.read([range(3), range(38, 40)])
    assert first.has_image.tolist() == [False, True, False]
    assert first.has_text.tolist() == [True, False, False]
    assert torch.equal(second.images, inputs.images.load([38, 39]))
    assert torch.equal(second.tokens, inputs.text(np.array([38, 39]))[0])
    assert torch.equal(second.padding, inputs.text(np.array([38, 39]))[1])


def test_texts_are_as_long_as_the_longest_beside_them(inputs):
    lengths = (inputs.tokens != 1).sum(axis=1)
    short, long = int(np.argmin(lengths)), int(np.argmax(lengths))
    assert inputs.text(np.array([short]))[0].shape == (1, lengths[short])
    assert inputs.text(np.array([short, long]))[0].shape == (2, lengths[long])


def test_items_that_lack_a_modality_are_told(shop_folder, readers, inputs):
    assert np.flatnonzero(~inputs.has_image).tolist() == [0, 2]
    assert readers.inputs(Dataset.load(shop_folder)).has_text.all()


def test_what_is_there_is_opened_and_not_made_again(own_shop, readers, monkeypatch):
    first = readers.inputs(Dataset.load(own_shop))
    monkeypatch.setattr(PatchKMeans, "encode", lambda *_: pytest.fail("encoded again"))
    second = readers.inputs(Dataset.load(own_shop))
    assert len(caches(own_shop)) == 1
    assert np.array_equal(first.visual_tokens, second.visual_tokens)
    assert np.array_equal(first.tokens, second.tokens)


def test_other_tokenizers_of_the_same_size_have_a_cache_of_their_own(own_shop, readers):
    data = Dataset.load(own_shop)
    readers.inputs(data)
    visual = PatchKMeans.fit(
        [torch.rand(30, 3, 24, 24, generator=torch.Generator().manual_seed(0))],
        PatchKMeansSettings(patch_size=8, vocab_size=readers.visual.vocab_size),
    )
    replace(readers, visual=visual).inputs(data)
    assert len(caches(own_shop)) == 2
    text = TextTokenizer.train([text[::-1] for text in item_texts(data)], TextTokenizerSettings(vocab_size=120))
    replace(readers, text=text).inputs(data)
    assert len(caches(own_shop)) == 3
    replace(readers, max_length=10).inputs(data)
    assert len(caches(own_shop)) == 4


def test_a_hash_of_visual_words_changes_with_any_number_in_them(readers):
    other = PatchKMeans(
        readers.visual.settings,
        readers.visual.offset,
        readers.visual.scale,
        readers.visual.centres + 1e-3,
        readers.visual.usage,
    )
    assert other.content_hash != readers.visual.content_hash


def test_making_tokens_that_breaks_off_goes_on_where_it_stopped(own_shop, readers, monkeypatch):
    monkeypatch.setattr(catalogue_inputs, "_CHUNK", 8)
    monkeypatch.setattr(catalogue_inputs, "_SAVED", 16)
    shutil.rmtree(own_shop / "cache", ignore_errors=True)
    whole, encoded = PatchKMeans.encode, []

    def encode(self, images):
        if len(encoded) == 3:
            raise KeyboardInterrupt
        encoded.append(len(images))
        return whole(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(PatchKMeans, "encode", encode)
        with pytest.raises(KeyboardInterrupt):
            readers.inputs(Dataset.load(own_shop))
    assert [name for name in caches(own_shop) if not name.endswith(".partial")] == []
    encoded.clear()
    monkeypatch.setattr(PatchKMeans, "encode", lambda self, images: encoded.append(len(images)) or whole(self, images))
    inputs = readers.inputs(Dataset.load(own_shop))
    assert encoded == [8, 8, 8]  # 16 of 40 items were noted as done
    assert [name.endswith(".partial") for name in caches(own_shop)] == [False]
    fresh = readers.visual.encode(inputs.images.load(np.arange(40))).reshape(40, -1)
    assert np.array_equal(inputs.visual_tokens, fresh.numpy())
    direct = readers.text.encode(item_texts(Dataset.load(own_shop)), 20).ids
    assert torch.equal(inputs.text(np.arange(40))[0], direct)


def test_tokens_that_somebody_damaged_on_the_way_are_made_anew(own_shop, readers):
    inputs = readers.inputs(Dataset.load(own_shop))
    (cache,) = (own_shop / "cache").glob("tokens-*")
    expected = inputs.tokens.copy()
    cache.rename(cache.with_name(f"{cache.name}.partial"))
    (cache.with_name(f"{cache.name}.partial") / "text.npy").write_bytes(b"")
    assert np.array_equal(readers.inputs(Dataset.load(own_shop)).tokens, expected)


def test_inverse_document_frequencies_by_hand():
    """Id 5 is in both texts, twice in the first; 7 in one; 6 in none."""
    tokens = np.array([[0, 5, 5, 2], [0, 5, 7, 2]], dtype=np.int32)
    weights = inverse_document_frequency(tokens, 8)
    assert weights.shape == (8,)
    assert weights[[5, 7, 6]].tolist() == pytest.approx([0, math.log(3 / 2), math.log(3)])


def test_document_frequencies_are_summed_over_a_catalogue_of_any_length():
    tokens = np.random.default_rng(0).integers(0, 9, (700, 5)).astype(np.int32)
    counts = np.array([(tokens == v).any(axis=1).sum() for v in range(9)])
    expected = np.log(701 / (counts + 1))
    assert inverse_document_frequency(tokens, 9).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_two_that_begin_together_both_get_whole_tokens_made_once(own_shop, readers, monkeypatch):
    monkeypatch.setattr(catalogue_inputs, "_CHUNK", 8)
    shutil.rmtree(own_shop / "cache", ignore_errors=True)
    data, whole, begun, encoded = Dataset.load(own_shop), PatchKMeans.encode, threading.Event(), []

    def encode(self, images):
        encoded.append(len(images))
        begun.set()
        time.sleep(0.05)
        return whole(self, images)

    build_image_cache(data, readers.images)
    monkeypatch.setattr(PatchKMeans, "encode", encode)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(readers.inputs, data)
        assert begun.wait(20)
        second = pool.submit(readers.inputs, data)
        rows = [np.array(done.result().visual_tokens) for done in (first, second)]
    squares = readers.inputs(data).images.load(np.arange(40))
    for found in rows:
        assert np.array_equal(found, whole(readers.visual, squares).numpy())
    assert encoded == [8] * 5


def test_words_of_colours_and_edges_are_made_on_the_cpu_whatever_trains(own_shop, readers):
    readers.inputs(Dataset.load(own_shop))
    readers.inputs(Dataset.load(own_shop), device=torch.device("cuda"))  # there may be none, and none is needed
    assert len(caches(own_shop)) == 1


@pytest.mark.gpu
def test_words_of_a_network_are_made_on_the_device_that_trains_and_kept_apart(own_shop, readers, goldens):
    tensors = load_golden(goldens, "vqkd_tiny").tensors
    state = {name.removeprefix("state/"): value.float() for name, value in tensors.items() if name.startswith("state/")}
    readers = replace(readers, images=ImageSettings(size=32), visual=VqKd(state, heads=4))
    data = Dataset.load(own_shop)
    slow, quick = readers.inputs(data), readers.inputs(data, device=torch.device("cuda"))
    assert len(caches(own_shop)) == 2
    assert np.mean(slow.visual_tokens != quick.visual_tokens) < 0.01  # rounding
    assert not any(weight.is_cuda for weight in readers.visual.parameters())
