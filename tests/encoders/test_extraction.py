from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from alignrec.encoders.extraction import ExtractionSettings, extract, postprocess
from alignrec.encoders.pixel_values import standardise


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


def test_centred_vectors_have_mean_zero(encoder, inputs):
    plain, centred = vectors(encoder, inputs), vectors(encoder, inputs, post="center")
    assert np.abs(centred.mean(axis=0)).max() < 1e-6
    assert np.allclose(centred - centred[0], plain - plain[0], atol=1e-5)


def test_whitened_vectors_have_unit_covariance_in_the_directions_kept():
    rng = np.random.default_rng(0)
    matrix = (rng.standard_normal((300, 6)) * [10, 5, 2, 1, 0.01, 0.001] + 3).astype(np.float32)
    white = postprocess(matrix, "whiten")
    assert white.shape == (300, 4)
    assert np.allclose(white.T @ white / 300, np.eye(4), atol=1e-4)
    assert np.abs(white.mean(axis=0)).max() < 1e-5
    assert white.dtype == np.float32


def test_extraction_changes_neither_weights_nor_what_is_found_next_time(encoder, inputs):
    encoder.train()
    first = vectors(encoder, inputs)
    assert np.array_equal(first, vectors(encoder, inputs))
