import json

import numpy as np
import pytest
import torch

from alignrec.encoders.patch_kmeans import PatchKMeans, PatchKMeansSettings
from alignrec.encoders.token_usage import measure_usage
from alignrec.errors import ArtifactError, FeatureError, UsageError


def product_photographs(number=120, side=64, thing=16, seed=0):
    """A small coloured, striped square somewhere on almost white ground: most patches are background."""
    rng = np.random.default_rng(seed)
    pictures = rng.normal(252, 1.0, (number, 3, side, side))
    for picture in pictures:
        top, left = rng.integers(0, side - thing, 2)
        stripes = 0.5 + 0.5 * np.sin(np.arange(thing) * rng.uniform(0.3, 2))
        stripes = stripes[:, None] if rng.random() < 0.5 else stripes[None, :]
        colour = rng.uniform(0, 255, 3)[:, None, None]
        picture[:, top : top + thing, left : left + thing] = colour * (0.4 + 0.6 * stripes)
    return torch.from_numpy(pictures.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def pictures():
    return product_photographs()


@pytest.fixture(scope="module")
def settings():
    return PatchKMeansSettings(patch_size=8, vocab_size=48)


@pytest.fixture(scope="module")
def words(pictures, settings):
    return PatchKMeans.fit(pictures.split(32), settings, seed=1)


def test_every_patch_gets_a_word(words, pictures):
    tokens = words.encode(pictures[:5])
    assert (tokens.shape, tokens.dtype) == ((5, 64), torch.int64)
    assert 0 <= int(tokens.min()) <= int(tokens.max()) < words.vocab_size == 48
    assert words.grid(64) == 8


def test_one_seed_gives_the_same_bytes_however_the_stream_is_cut(words, pictures, settings):
    again = PatchKMeans.fit(pictures.split(7), settings, seed=1)
    assert again.centres.numpy().tobytes() == words.centres.numpy().tobytes()
    assert not torch.equal(PatchKMeans.fit([pictures], settings, seed=2).centres, words.centres)


def test_the_sample_is_bounded_and_still_does_not_depend_on_the_cuts(pictures):
    settings = PatchKMeansSettings(patch_size=8, vocab_size=16, sample_size=500)
    first, again = (PatchKMeans.fit(pictures.split(n), settings) for n in (50, 11))
    assert first.usage.tokens == 500
    assert torch.equal(first.centres, again.centres)


def test_background_does_not_eat_the_words(words, pictures):
    """Nine in ten patches are white, yet nearly all words are about the things."""
    tokens = words.encode(pictures)
    flat = pictures.float().unfold(2, 8, 8).unfold(3, 8, 8).flatten(4).std(-1).amax(1).flatten() < 3
    assert flat.float().mean() > 0.85
    of_things = measure_usage([tokens.flatten()[~flat]], 48)
    assert of_things.used >= 44
    assert of_things.perplexity > 0.6 * 48
    uncapped = PatchKMeans.fit([pictures], words.settings.model_copy(update={"flat_share": 0.95}), seed=1)
    assert measure_usage([uncapped.encode(pictures).flatten()[~flat]], 48).used < of_things.used


def test_the_report_says_how_words_are_used_in_the_sample(words):
    assert words.usage.used == words.usage.vocab_size == 48
    assert 24 < words.usage.perplexity <= 48


def test_patches_alike_get_the_same_word_and_patches_unlike_another(words):
    shades = torch.tensor([[251, 251, 251], [252, 252, 252], [200, 30, 30], [202, 32, 32]], dtype=torch.uint8)
    white, nearly, red, reddish = words.encode(shades.view(4, 3, 1, 1).expand(4, 3, 8, 8)).flatten().tolist()
    assert white == nearly != red == reddish


def test_bytes_and_shares_of_one_get_the_same_words(words, pictures):
    assert torch.equal(words.encode(pictures[:4]), words.encode(pictures[:4].float() / 255))


def test_words_do_not_depend_on_autocast(words, pictures):
    plain = words.encode(pictures[:4])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(words.encode(pictures[:4]), plain)


def test_it_is_read_back_as_it_was_written(words, pictures, tmp_path):
    words.save(tmp_path / "words")
    again = PatchKMeans.load(tmp_path / "words")
    assert (again.settings, again.usage, again.patch_size) == (words.settings, words.usage, 8)
    assert torch.equal(again.encode(pictures[:4]), words.encode(pictures[:4]))


def test_whitened_axes_are_fewer_and_of_about_equal_variance(pictures):
    white = PatchKMeans.fit([pictures], PatchKMeansSettings(patch_size=8, vocab_size=32, whiten=True), seed=1)
    assert 2 <= white.scale.shape[1] < 38
    assert white.usage.used == 32


def test_without_a_number_of_words_the_sample_decides(pictures):
    usage = PatchKMeans.fit([pictures], PatchKMeansSettings(patch_size=8)).usage
    assert usage.vocab_size == usage.tokens // 50


def test_there_are_no_more_words_than_most_words_unless_a_number_is_asked_for(pictures):
    few = PatchKMeansSettings(patch_size=8, most_words=3)
    assert PatchKMeans.fit([pictures], few).vocab_size == 3
    assert PatchKMeans.fit([pictures], few.model_copy(update={"vocab_size": 5})).vocab_size == 5


def test_all_white_pictures_still_have_words_and_equal_ones_have_none():
    noise = np.random.default_rng(0).normal(250, 0.8, (10, 3, 32, 32)).clip(0, 255).astype(np.uint8)
    assert PatchKMeans.fit([torch.from_numpy(noise)], PatchKMeansSettings(patch_size=8)).vocab_size >= 2
    with pytest.raises(FeatureError, match="1 different patches"):
        PatchKMeans.fit([torch.full((10, 3, 32, 32), 0.5)], PatchKMeansSettings(patch_size=8))


def test_more_words_than_different_patches_are_refused(pictures):
    with pytest.raises(FeatureError, match="vocab_size is 5000; lower it"):
        PatchKMeans.fit([pictures[:4]], PatchKMeansSettings(patch_size=8, vocab_size=5000))


def test_no_pictures_are_refused():
    with pytest.raises(FeatureError, match="no pictures"):
        PatchKMeans.fit([])


def test_a_size_that_is_no_multiple_of_the_patch_is_refused(words):
    with pytest.raises(UsageError, match="8 x 8 patches"):
        words.grid(60)


@pytest.mark.parametrize("damage", ["kind", "array", "file"])
def test_a_damaged_folder_is_named(words, tmp_path, damage):
    words.save(tmp_path / "words")
    if damage == "kind":
        (tmp_path / "words" / "tokenizer.json").write_text(json.dumps({"kind": "vqkd", "format": 1}))
    elif damage == "array":
        from alignrec.artifacts import write_arrays

        write_arrays(tmp_path / "words" / "tokenizer.safetensors", {"offset": np.zeros(38, dtype=np.float32)})
    else:
        (tmp_path / "words" / "tokenizer.safetensors").unlink()
    with pytest.raises(ArtifactError, match="words"):
        PatchKMeans.load(tmp_path / "words")
