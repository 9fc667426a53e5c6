from dataclasses import replace

import numpy as np
import pytest

from alignrec.encoders import ExtractionSettings
from alignrec.encoders.extraction import extract
from alignrec.errors import ArtifactError, FeatureError, UsageError
from alignrec.features import FeatureTable, fuse
from alignrec.features.table import unit_rows
from alignrec.probes.absence import Encoders, refusal, rows_without


@pytest.fixture(scope="module")
def encoders(shop, trained):
    return Encoders([trained.path], shop, device="cpu")


@pytest.fixture(scope="module")
def shown(shop, trained):
    """Vectors without post-processing, by what the encoder is shown."""
    encoder, readers, _ = trained.load()
    inputs = readers.inputs(shop)
    return {m: extract(encoder, inputs, ExtractionSettings(modality=m)) for m in ("both", "image", "text")}


def none(shop):
    return Encoders((), shop)


def table(name, modality, size=3, provenance=None):
    matrix = np.random.default_rng(size).standard_normal((5, size))
    return FeatureTable(name, modality, [f"i{n}" for n in range(5)], matrix.astype(np.float32), provenance or {})


def test_a_table_of_the_missing_modality_becomes_zeros_and_others_stay(shop):
    words = shop.features("tfidf")
    assert not rows_without(words, "text", none(shop)).any()
    assert rows_without(words, "image", none(shop)) is words.matrix


def test_a_join_loses_the_block_of_the_missing_modality_alone(shop):
    joined = shop.features("pixels+tfidf")
    without = rows_without(joined, "image", none(shop))
    size = shop.features("pixels").size
    assert not without[:, :size].any()
    assert np.array_equal(without[:, size:], joined.matrix[:, size:])
    assert not rows_without(joined, "text", none(shop))[:, size:].any()


def test_a_join_of_joins_loses_the_block_too(shop):
    one, two, three = table("a", "image"), table("b", "text"), table("c", "audio", 2)
    without = rows_without(fuse([fuse([one, two]), three]), "image", none(shop))
    assert not without[:, :3].any()
    assert np.allclose(without[:, 3:], np.concatenate([unit_rows(two.matrix), unit_rows(three.matrix)], axis=1))


@pytest.mark.parametrize(("missing", "left"), [("image", "text"), ("text", "image")])
def test_a_unified_row_is_the_item_encoded_without_the_modality(shop, encoders, shown, missing, left):
    rows = rows_without(shop.features("plain"), missing, encoders)
    assert np.allclose(rows[3:], shown[left][3:], atol=1e-5)


@pytest.mark.parametrize("missing", ["image", "text"])
def test_centring_takes_off_the_mean_of_the_catalogue_with_nothing_missing(shop, encoders, shown, missing):
    plain, centred = (rows_without(shop.features(name), missing, encoders) for name in ("plain", "ica"))
    mean = np.delete(shown["both"], 2, axis=0).mean(axis=0)  # item 2 shows nothing
    assert np.allclose(centred, plain - mean, atol=1e-5)
    assert np.abs(centred.mean(axis=0)).max() > 1e-3  # not its own mean


def test_whitening_turns_rows_as_it_turned_the_table(shop, encoders):
    """The affine map from plain to white rows, learnt from the table, takes the plain masked rows to the white ones."""
    plain, white = shop.features("plain"), shop.features("white")
    ones = np.ones((shop.n_items, 1))
    turn, *_ = np.linalg.lstsq(np.hstack([plain.matrix, ones]), white.matrix, rcond=None)
    for missing in ("image", "text"):
        expected = np.hstack([rows_without(plain, missing, encoders), ones]) @ turn
        assert np.allclose(rows_without(white, missing, encoders), expected, atol=0.02)


def test_an_item_that_then_shows_nothing_gets_the_mean(shop, encoders):
    ica = shop.features("ica")
    for missing, items in (("image", (1, 2)), ("text", (0, 2))):
        assert not rows_without(ica, missing, encoders)[list(items)].any()
        plain = rows_without(shop.features("plain"), missing, encoders)
        assert np.allclose(plain[list(items)], shop.features("plain").matrix[2], atol=1e-5)
    assert np.abs(ica.matrix[:2]).max() > 1e-2


def test_a_join_of_unified_and_plain_vectors_masks_each_block_by_its_own_rule(shop, encoders):
    rows = rows_without(shop.features("ica+tfidf"), "text", encoders)
    size = shop.features("ica").size
    assert np.array_equal(rows[:, :size], unit_rows(rows_without(shop.features("ica"), "text", encoders)))
    assert not rows[:, size:].any()


def test_every_set_of_vectors_is_extracted_once(shop, trained, monkeypatch):
    calls = []
    monkeypatch.setattr("alignrec.probes.absence.extract", lambda *a: calls.append(a[2].modality) or extract(*a))
    fresh = Encoders([trained], shop, device="cpu")
    for name in ("ica", "white", "ica+tfidf"):
        for missing in ("image", "text"):
            rows_without(shop.features(name), missing, fresh)
    assert calls == ["both", "image", "text"]


def test_vectors_that_the_encoder_does_not_make_are_refused(shop, encoders):
    ica = shop.features("ica")
    other = replace(ica, matrix=np.roll(ica.matrix, 1, axis=0))
    with pytest.raises(FeatureError, match=r"features 'ica' are not what the encoder in .* makes of this dataset's"):
        rows_without(other, "image", encoders)


def test_what_can_be_masked_is_not_refused(shop, encoders):
    for name in ("pixels", "tfidf", "pixels+tfidf", "ica", "ica+pixels"):
        assert refusal(shop.features(name), encoders) is None
    assert refusal(table("sound", "audio"), encoders) is None


def test_unified_vectors_name_the_encoder_that_they_need(shop, trained):
    weights = trained.description()["weights"][:8]
    wanted = f"masking needs its encoder (weights {weights}) to encode items without picture or text; pass its folder"
    assert refusal(shop.features("ica"), none(shop)).startswith(f"features 'ica': {wanted}")
    assert refusal(shop.features("ica+tfidf"), none(shop)).startswith(f"features 'ica' in 'ica+tfidf': {wanted}")


def test_unified_vectors_of_unknown_origin_say_what_to_do(shop):
    assert "nothing says which one made these unified vectors" in refusal(table("u", "image+text"), none(shop))


def test_a_join_that_does_not_name_its_parts_sizes_counts_as_unified(shop):
    joined = table("j", "image+text", provenance={"fused": [{"name": "a", "hash": "h"}, {"name": "b", "hash": "h"}]})
    assert "masking needs its encoder" in refusal(joined, none(shop))


def test_a_modality_that_says_nothing_of_masking_is_refused(shop):
    assert "have modality 'content', which does not say what masking takes away" in refusal(
        table("c", "content"), none(shop)
    )


def test_an_encoder_that_made_no_table_is_refused(shop, encoders):
    encoders.require_use([shop.features("ica+tfidf")])
    with pytest.raises(UsageError, match="made none of the features pixels, tfidf; leave it out"):
        encoders.require_use([shop.features("pixels"), shop.features("tfidf")])


def test_a_folder_without_an_encoder_is_refused(shop, tmp_path):
    with pytest.raises(ArtifactError, match="no finished encoder"):
        Encoders([tmp_path], shop)
