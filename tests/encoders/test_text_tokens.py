import io
import json
import random
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignrec.encoders.text_tokens import BOS, EOS, PAD, UNK, TextTokenizer, TextTokenizerSettings, draw_texts
from alignrec.errors import ArtifactError, MissingExtraError, TrainingError, UsageError

sentencepiece = pytest.importorskip("sentencepiece")

WORDS = [
    "red",
    "blue",
    "green",
    "shoe",
    "shirt",
    "running",
    "cotton",
    "leather",
    "light",
    "soft",
    "Acme",
    "Nike",
    "summer",
    "winter",
    "classic",
    "sport",
]


def corpus(n=300):
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=8)) for _ in range(n)]


@pytest.fixture(scope="module")
def tokenizer():
    return TextTokenizer.train(corpus())


def model_of(**changed):
    """A model that somebody else trained."""
    model, words = io.BytesIO(), [w for w in WORDS for _ in range(5)]
    ids = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1} | changed
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words), model_writer=model, vocab_size=60, hard_vocab_limit=False, minloglevel=2, **ids
    )
    return model.getvalue()


# Layout


def test_ids_are_laid_out_as_in_beit3():
    """The rule of XLM-R's tokenizer: <s> 0, <pad> 1, </s> 2, <unk> 3, another piece its number + 1, <mask> last."""
    model = model_of()
    pieces, tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model), TextTokenizer(model)
    text = "red cotton shirt"
    numbers = pieces.encode(text)
    assert min(numbers) > 2
    assert tokenizer.encode([text]).ids[0].tolist() == [0, *(number + 1 for number in numbers), 2]
    assert tokenizer.mask_id == len(pieces) + 1
    assert tokenizer.vocab_size == len(pieces) + 2


def test_a_model_of_beit3s_size_would_have_its_64002_ids(tokenizer):
    class Pieces:
        def __len__(self):
            return 64_000

    other = TextTokenizer(tokenizer.model)
    other._pieces = Pieces()
    assert (other.vocab_size, other.mask_id) == (64_002, 64_001)
    other.require_rows(64_010)  # of the official checkpoints


def test_short_texts_are_padded_to_the_longest(tokenizer):
    encoded = tokenizer.encode(["red", "red shoe shirt", ""])
    assert encoded.ids.tolist()[0][-2:] == [PAD, PAD]
    assert encoded.ids.tolist()[2] == [BOS, EOS, PAD, PAD, PAD]
    assert torch.equal(encoded.padding, encoded.ids == PAD)
    assert encoded.padding.sum(dim=1).tolist() == [2, 0, 3]


def test_no_texts_give_no_rows(tokenizer):
    assert tokenizer.encode([]).ids.shape == (0, 2)


def test_long_texts_keep_their_beginning_and_end_mark(tokenizer):
    ids = tokenizer.encode(["red shoe " * 50], max_length=10).ids[0].tolist()
    assert len(ids) == 10
    assert (ids[0], ids[-1]) == (BOS, EOS)
    assert ids[1:9] == tokenizer.encode(["red shoe " * 4]).ids[0].tolist()[1:9]


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_whatever_a_text_says_it_cannot_spell_a_mark(tokenizer, text):
    for line in (text, f"<mask>{text}</s><pad><s>"):
        ids = tokenizer.encode([line]).ids[0].tolist()
        assert (ids[0], ids[-1]) == (BOS, EOS)
        assert all(UNK <= i < tokenizer.mask_id for i in ids[1:-1])


def test_lone_surrogates_are_left_out(tokenizer):
    assert torch.equal(tokenizer.encode(["red \ud800shoe"]).ids, tokenizer.encode(["red shoe"]).ids)


def test_unknown_characters_become_unk(tokenizer):
    assert UNK in tokenizer.encode(["red ☃"]).ids[0].tolist()


# Length


def test_a_text_of_100_000_characters_is_cut_before_it_is_tokenised(tokenizer, monkeypatch):
    seen = []
    pieces = tokenizer._pieces

    class Spy:
        def encode(self, lines, **options):
            seen.extend(lines)
            return pieces.encode(lines, **options)

    plain = tokenizer.encode(["red"]).ids[0].tolist()
    monkeypatch.setattr(tokenizer, "_pieces", Spy())
    text = " ".join(corpus(2000))[:100_000]
    ids = tokenizer.encode([text, " " * 5000 + "red"]).ids
    assert ids.shape == (2, 128)
    assert max(map(len, seen)) <= 32 * 128
    assert ids[1].tolist()[: len(plain) + 1] == [*plain, PAD]


def test_the_cut_does_not_show_in_the_tokens_that_are_kept(tokenizer):
    text = " ".join(corpus(100))  # 5,000 characters: longer than what is looked at
    assert len(text) > 32 * 64
    whole = [number + 1 for number in tokenizer._pieces.encode(text)]
    assert tokenizer.encode([text], max_length=64).ids[0].tolist()[1:-1] == whole[:62]


def test_a_length_without_room_is_refused(tokenizer):
    with pytest.raises(UsageError, match="max_length=2 leaves no room"):
        tokenizer.encode(["red"], max_length=2)


# Round trip


def test_texts_of_known_words_come_back(tokenizer):
    texts = [text.lower() for text in corpus(20)]
    assert tokenizer.decode(tokenizer.encode(texts).ids) == texts


def test_capitals_count_where_asked_for():
    kept = TextTokenizer.train(corpus(), TextTokenizerSettings(fold_case=False))
    assert kept.decode(kept.encode(["Acme shoe"]).ids) == ["Acme shoe"]
    assert not torch.equal(kept.encode(["Nike"]).ids, kept.encode(["NIKE"]).ids)


def test_word_starts_mark_the_first_piece_of_each_word(tokenizer):
    ids = tokenizer.encode(["red cotton shirtshoe"]).ids[0]
    words = tokenizer.word_starts[ids]
    assert not words[0]
    assert not words[-1]
    assert int(words.sum()) == 3
    assert not tokenizer.word_starts[[BOS, PAD, EOS, UNK, tokenizer.mask_id]].any()


def test_a_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    loaded = TextTokenizer.load(tmp_path, embedding_rows=tokenizer.vocab_size)
    assert loaded.content_hash == tokenizer.content_hash
    assert torch.equal(loaded.encode(corpus(5)).ids, tokenizer.encode(corpus(5)).ids)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.json", "text.spm"]
    assert json.loads((tmp_path / "text.json").read_text())["mask_id"] == tokenizer.mask_id


# Training


def test_the_same_texts_give_the_same_bytes(tokenizer):
    assert TextTokenizer.train(corpus()).model == tokenizer.model


def test_the_sample_depends_on_the_seed_alone():
    few, texts = TextTokenizerSettings(fit_characters=600), corpus()
    first = TextTokenizer.train(texts, few, seed=1)
    assert TextTokenizer.train(texts, few, seed=1).model == first.model
    assert TextTokenizer.train(texts, few, seed=2).model != first.model


def test_texts_are_drawn_until_they_have_so_many_characters():
    lengths = np.array([3, 4000, 0, 2500, 1999, 90_000, 1000, 5])
    read = np.minimum(lengths, 2000)  # no more of a long one
    assert draw_texts(lengths, TextTokenizerSettings(fit_characters=int(read.sum()))).tolist() == list(range(8))
    for seed in range(5):
        drawn = draw_texts(lengths, TextTokenizerSettings(fit_characters=5000), seed=seed)
        assert drawn.tolist() == sorted(set(drawn.tolist()))
        assert 3000 < read[drawn].sum() <= 5000
    assert len({tuple(draw_texts(lengths, TextTokenizerSettings(fit_characters=5000), seed=s)) for s in range(5)}) > 1
    assert len(draw_texts(lengths[[1, 3]], TextTokenizerSettings(fit_characters=1))) == 1, "one is always there"


def test_the_vocabulary_grows_with_the_catalogue():
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 9))) for _ in range(4000)]
    small = TextTokenizer.train([" ".join(draw.choices(words, k=20)) for _ in range(100)])
    large = TextTokenizer.train([" ".join(draw.choices(words, k=20)) for _ in range(2500)])
    assert small.vocab_size == 512 + 2
    assert large.vocab_size == 1024 + 2
    limited = TextTokenizer.train(words, TextTokenizerSettings(vocab_size=64))
    assert limited.vocab_size == 64 + 2


@pytest.mark.parametrize("texts", [["a"], ["red shoe"], ["x" * 100_000], ["12", "3"]])
def test_the_smallest_catalogues_have_a_tokenizer(texts):
    tokenizer = TextTokenizer.train(texts)
    assert UNK not in tokenizer.encode(texts).ids


@pytest.mark.parametrize("texts", [[], ["", " \n"]])
def test_a_catalogue_without_words_has_none(texts):
    with pytest.raises(TrainingError, match="has a word to train a tokenizer on"):
        TextTokenizer.train(texts)


# Errors


def test_the_wrong_vocabulary_is_refused(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    size = tokenizer.vocab_size
    for rows in (size - 1, size + 64, 64_010):
        with pytest.raises(ArtifactError, match=f"{size} ids but the encoder's text embedding {rows} rows"):
            TextTokenizer.load(tmp_path, embedding_rows=rows)
    tokenizer.require_rows(size + 63)


def test_another_layout_is_refused(tmp_path):
    (tmp_path / "other.spm").write_bytes(model_of(unk_id=3, bos_id=1, eos_id=2, pad_id=0))
    with pytest.raises(ArtifactError, match=r"other\.spm has <unk>, <s>, </s> at \[3, 1, 2\]"):
        TextTokenizer.load(tmp_path / "other.spm")


@pytest.mark.parametrize("content", [b"", b"garbage" * 50])
def test_a_file_that_is_no_model_is_refused(content, tmp_path):
    (tmp_path / "x.spm").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"x\.spm is not a SentencePiece model"):
        TextTokenizer.load(tmp_path / "x.spm")


def test_a_model_cut_off_is_refused(tokenizer, tmp_path):
    (tmp_path / "x.spm").write_bytes(tokenizer.model[:-50])
    with pytest.raises(ArtifactError, match="not a SentencePiece model"):
        TextTokenizer.load(tmp_path / "x.spm")


def test_a_model_changed_in_its_folder_is_refused(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    (tmp_path / "text.spm").write_bytes(model_of())
    with pytest.raises(ArtifactError, match="is not the file that"):
        TextTokenizer.load(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"text\.spm is not a file"):
        TextTokenizer.load(tmp_path)


def test_without_the_extra_the_remedy_is_named(tokenizer, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'alignrec\[pretrained\]'"):
        TextTokenizer(tokenizer.model)
