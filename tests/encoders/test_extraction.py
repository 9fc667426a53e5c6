from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from alignrec.encoders.extraction import ExtractionSettings, encode_missing, extract, gather
from alignrec.encoders.pixel_values import standardise
from alignrec.encoders.vector_shards import VectorShards
from alignrec.errors import FeatureError


def vectors(encoder, inputs, **settings):
    return extract(encoder, inputs, ExtractionSettings(**settings))


@pytest.mark.parametrize("pooling", ["cls", "bos", "cls+bos", "mean"])
def test_an_items_vector_does_not_depend_on_the_batch(encoder, inputs, pooling):
    whole = vectors(encoder, inputs, pooling=pooling)
    assert np.allclose(vectors(encoder, inputs, pooling=pooling, batch_size=7), whole, atol=1e-5)
    assert whole.shape == (40, 32 if pooling == "cls+bos" else 16)


def test_pooling_reads_the_states_that_its_name_says(encoder, inputs):
    """Item 5 has both modalities, so that a plain call of the encoder is what is pooled."""
    item = np.array([5])
    ids, _ = inputs.text(item)
    with torch.no_grad():
        states = encoder(standardise(inputs.images.load(item)), ids)
    expected = {
        "cls": states.cls,
        "bos": states.bos,
        "cls+bos": torch.cat([normalize(states.cls), normalize(states.bos)], dim=1),
        "mean": torch.cat([states.patches, states.text], dim=1).mean(dim=1),
    }
    for pooling, vector in expected.items():
        assert np.allclose(vectors(encoder, inputs, pooling=pooling)[5], vector[0], atol=1e-5), pooling


@pytest.mark.parametrize("pooling", ["cls", "bos", "cls+bos", "mean"])
def test_items_without_picture_text_or_both_have_finite_vectors(encoder, inputs, pooling):
    assert not inputs.has_image[2]
    assert not inputs.has_text[2]
    for modality in ("both", "image", "text"):
        assert np.isfinite(vectors(encoder, inputs, pooling=pooling, modality=modality)).all()


def test_image_vectors_ignore_the_texts(encoder, inputs):
    shuffled = replace(inputs, tokens=np.roll(inputs.tokens, 1, axis=0), has_text=np.roll(inputs.has_text, 1))
    before, after = (vectors(encoder, given, modality="image") for given in (inputs, shuffled))
    assert np.allclose(before, after, atol=1e-6)
    assert not np.allclose(vectors(encoder, inputs), vectors(encoder, shuffled), atol=1e-3)


def test_text_vectors_ignore_the_pictures(encoder, inputs):
    squares = np.roll(inputs.images.images, 1, axis=0)
    outcomes = np.roll(inputs.images.outcomes, 1)
    shuffled = replace(inputs, images=replace(inputs.images, images=squares, outcomes=outcomes))
    before, after = (vectors(encoder, given, modality="text") for given in (inputs, shuffled))
    assert np.allclose(before, after, atol=1e-6)
    assert not np.allclose(vectors(encoder, inputs), vectors(encoder, shuffled), atol=1e-3)


def test_an_item_that_lacks_a_text_is_read_as_if_images_alone_were_asked_for(encoder, inputs):
    assert np.allclose(vectors(encoder, inputs)[1], vectors(encoder, inputs, modality="image")[1], atol=1e-5)


def test_the_mean_is_of_what_is_shown_and_nothing_else(encoder, inputs):
    """Item 0 shows no picture and item 1 no text: their hidden patches and empty text are not averaged."""
    ids, _ = inputs.text(np.array([0]))
    with torch.no_grad():
        unseen = encoder(torch.zeros(1, 3, 24, 24), ids, None, torch.ones(1, 9, dtype=torch.bool))
        untold = encoder(standardise(inputs.images.load([1])), torch.tensor([[0]]))
    found = vectors(encoder, inputs, pooling="mean")
    assert np.allclose(found[0], unseen.text.mean(dim=1)[0], atol=1e-5)
    assert np.allclose(found[1], untold.patches.mean(dim=1)[0], atol=1e-5)


@pytest.mark.parametrize(("modality", "without"), [("both", [2]), ("image", [0, 2]), ("text", [1, 2])])
@pytest.mark.parametrize("post", ["none", "center", "whiten"])
def test_an_item_that_shows_nothing_has_the_mean_of_the_others(encoder, inputs, modality, without, post):
    found = vectors(encoder, inputs, modality=modality, post=post)
    others = np.delete(found, without, axis=0).mean(axis=0)
    assert np.allclose(found[without], others, atol=1e-5)
    if post == "whiten":
        spread = np.delete(found, without, axis=0)
        assert np.allclose(spread.T @ spread / len(spread), np.eye(found.shape[1]), atol=1e-3)


def test_a_catalogue_that_shows_nothing_is_refused(encoder, inputs):
    blank = replace(inputs, has_text=np.zeros(40, dtype=bool))
    with pytest.raises(FeatureError, match="none of 40 items has a text; there is nothing to encode"):
        vectors(encoder, blank, modality="text")


def test_vectors_that_are_not_finite_are_refused_with_their_items(encoder, inputs):
    with torch.no_grad():
        encoder.vision_norm.weight[3] = float("nan")
    with pytest.raises(FeatureError, match="items number 0 to 15 are not finite"):
        vectors(encoder, inputs, batch_size=16)


def test_half_the_precision_gives_nearly_the_same(encoder, inputs):
    exact, rough = vectors(encoder, inputs), vectors(encoder, inputs, precision="bfloat16")
    assert not np.array_equal(exact, rough)
    cosines = (exact * rough).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosines.min() > 0.999
    assert rough.dtype == np.float32


@pytest.mark.parametrize("post", ["none", "whiten"])
def test_by_way_of_shards_the_vectors_are_the_same(encoder, inputs, tmp_path, post):
    settings = ExtractionSettings(shard_items=16, batch_size=16, post=post)
    shards = VectorShards(tmp_path / "vectors", 40, 16)
    assert encode_missing(encoder, inputs, settings, shards) == 40
    assert np.allclose(gather(shards, inputs, settings), extract(encoder, inputs, settings), atol=1e-6)


def test_only_missing_shards_are_encoded(encoder, inputs, tmp_path):
    settings = ExtractionSettings(shard_items=16, batch_size=5)
    shards = VectorShards(tmp_path / "vectors", 40, 16)
    encode_missing(encoder, inputs, settings, shards)
    before = [part.tobytes() for part in shards]
    (shards.folder / "000000016.npy").unlink()
    assert encode_missing(encoder, inputs, settings, shards) == 16
    assert [part.tobytes() for part in shards] == before
    assert encode_missing(encoder, inputs, settings, shards) == 0


def test_centred_vectors_have_mean_zero(encoder, inputs):
    plain, centred = vectors(encoder, inputs), vectors(encoder, inputs, post="center")
    assert np.abs(centred.mean(axis=0)).max() < 1e-6
    assert np.allclose(centred - centred[0], plain - plain[0], atol=1e-5)


def test_extraction_changes_neither_weights_nor_what_is_found_next_time(encoder, inputs):
    encoder.train()
    first = vectors(encoder, inputs)
    assert np.array_equal(first, vectors(encoder, inputs))
