import numpy as np
import torch

from alignrec.encoders import word_vectors as module
from alignrec.encoders.multiway import MultiwayEncoder, TokenHead
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.word_vectors import latent_word_vectors, start_words_from

PAD, VOCAB, SIZE = 1, 12, 6


def texts_of_two_topics():
    """Words 4-6 stand together, words 7-9 stand together, 10 and 11 nowhere."""
    rng = np.random.default_rng(0)
    rows = [rng.choice([4, 5, 6] if item % 2 else [7, 8, 9], size=2, replace=False) for item in range(40)]
    return np.array([[0, *row, 2, PAD] for row in rows], dtype=np.int32)


def vectors(seed=0):
    return latent_word_vectors(texts_of_two_topics(), np.ones(VOCAB, np.float32), SIZE, np.random.default_rng(seed))


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_words_of_the_same_items_point_the_same_way_and_others_do_not():
    found = vectors()
    assert all(cosine(found[a], found[b]) > cosine(found[a], found[c]) + 0.2 for a, b, c in [(4, 5, 7), (8, 9, 6)])
    assert abs(cosine(found[4], found[7])) < 1e-3


def test_directions_and_strengths_are_those_of_the_tf_idf_matrix(monkeypatch):
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(40, 0.2), size=6)
    tokens = np.array([rng.choice(np.arange(4, 44), size=12, p=topics[rng.integers(6)]) for _ in range(90)], np.int32)
    weights = rng.uniform(0.5, 2, size=44).astype(np.float32)
    dense = np.zeros((90, 44))
    for row, words in zip(dense, tokens, strict=True):
        ids, counts = np.unique(words, return_counts=True)
        row[ids] = (1 + np.log(counts)) * weights[ids]
        row /= np.linalg.norm(row)
    _, strengths, directions = np.linalg.svd(dense)
    monkeypatch.setattr(module, "_CHUNK", 32)  # the last one is smaller
    found, turned = module._Texts(tokens, np.arange(90), weights).leading(5, np.random.default_rng(1))
    np.testing.assert_allclose(found, strengths[:5], rtol=1e-4)
    np.testing.assert_allclose(np.abs((directions[:5] * turned.T).sum(axis=1)), 1, rtol=1e-2)


def test_every_word_in_a_text_has_the_same_length_and_marks_and_strangers_have_none():
    lengths = np.linalg.norm(vectors(), axis=1)
    np.testing.assert_allclose(lengths[4:10], np.sqrt(SIZE), rtol=1e-5)
    assert not lengths[:4].any()
    assert not lengths[10:].any()


def test_what_matters_is_spread_over_all_dimensions():
    energy = (vectors()[4:10] ** 2).sum(axis=0)
    assert energy.max() < 0.8 * energy.sum()


def test_the_same_seed_gives_the_same_vectors_and_another_turns_them():
    np.testing.assert_array_equal(vectors(3), vectors(3))
    assert not np.allclose(vectors(3), vectors(4))
    np.testing.assert_allclose(vectors(3) @ vectors(3).T, vectors(4) @ vectors(4).T, atol=1e-3)


def test_fewer_texts_than_dimensions_are_enough():
    few = latent_word_vectors(texts_of_two_topics()[:3], np.ones(VOCAB, np.float32), SIZE, np.random.default_rng(0))
    assert few.shape == (VOCAB, SIZE)
    assert np.isfinite(few).all()


def test_a_catalogue_without_words_gives_zeros():
    empty = np.array([[0, 2, PAD]] * 5, dtype=np.int32)
    assert not latent_word_vectors(empty, np.ones(VOCAB, np.float32), SIZE, np.random.default_rng(0)).any()


def test_an_encoder_and_its_head_start_there_and_words_without_a_vector_keep_their_own():
    settings = MultiwaySettings.preset("tiny", layers=1, width=SIZE, heads=2, ffn=8, text_vocab=VOCAB)
    rng = torch.Generator().manual_seed(0)
    encoder, head = MultiwayEncoder(settings, rng), TokenHead(SIZE, VOCAB, rng)
    before = encoder.text_embedding.weight.detach().clone()
    start_words_from(vectors(), encoder, head)
    words = encoder.text_embedding.weight.detach()
    torch.testing.assert_close(words[4:10], 0.05 * torch.from_numpy(vectors()[4:10]))
    torch.testing.assert_close(head.project.weight.detach()[4:10], 0.02 * torch.from_numpy(vectors()[4:10]))
    kept = [0, 1, 2, 3, 10, 11]
    torch.testing.assert_close(words[kept], before[kept], rtol=0, atol=0)
