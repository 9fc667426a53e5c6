import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

import tiny_models
import transformers

from alignrec.encoders.pretrained_models import load_model
from alignrec.encoders.pretrained_texts import SentenceEncoder, describe_texts, pool_states
from alignrec.encoders.sentence_modules import read_sentence_modules
from alignrec.errors import ArtifactError, FeatureError, UsageError

CPU = torch.device("cpu")
TEXTS = ["red mug", "a blue hat of wool", "hats", "red red red red mug of wool a hat a hat blue a mug"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_models.bert(tmp_path_factory.mktemp("bert"))


def encoder(folder, **options):
    sentence = read_sentence_modules(folder)
    return SentenceEncoder(load_model(sentence.folder, CPU), sentence, **options)


def plain(folder, text, length=20):
    """The states (tokens, d) and pooled vector of one text, without padding."""
    ids = transformers.BertTokenizer.from_pretrained(folder)(text, truncation=True, max_length=length)["input_ids"]
    with torch.no_grad():
        output = transformers.BertModel.from_pretrained(folder).eval()(torch.tensor([ids]))
    return output.last_hidden_state[0], output.pooler_output[0]


# pooling


def test_only_tokens_that_are_attended_to_are_pooled():
    states = torch.tensor([[[9.0, 9.0], [1.0, 4.0], [3.0, 2.0]], [[1.0, 1.0], [2.0, 3.0], [9.0, 9.0]]])
    attended = torch.tensor([[False, True, True], [True, True, False]])
    assert pool_states(states, attended, "mean").tolist() == [[2.0, 3.0], [1.5, 2.0]]
    assert pool_states(states, attended, "cls").tolist() == [[1.0, 4.0], [1.0, 1.0]]
    assert pool_states(states, attended, "max").tolist() == [[3.0, 4.0], [2.0, 3.0]]


@pytest.mark.parametrize("pooling", ["auto", "mean", "cls", "pooler"])
def test_each_pooling_equals_the_plain_forward_on_each_text_alone(bert, pooling):
    pools = {"cls": lambda states, pooled: states[0], "pooler": lambda states, pooled: pooled}
    pool = pools.get(pooling, lambda states, pooled: states.mean(dim=0))
    expected = np.stack([pool(*plain(bert, text)).numpy() for text in TEXTS])
    assert encoder(bert, pooling=pooling).encode(TEXTS) == pytest.approx(expected, abs=1e-5)


def test_a_pooler_that_the_model_does_not_have_cannot_be_asked_for(tmp_path):
    tiny_models.save_tokenizer(tmp_path)
    config = transformers.DistilBertConfig(vocab_size=15, dim=16, n_layers=1, n_heads=2, hidden_dim=8)
    tiny_models.save(tiny_models.random(transformers.DistilBertModel, config), tmp_path)
    with pytest.raises(
        UsageError, match=r"'pooler' does not apply to the 'distilbert' model .*; allowed: auto, mean, cls"
    ):
        encoder(tmp_path, pooling="pooler")


def test_of_an_encoder_with_a_decoder_the_encoder_alone_is_read(tmp_path):
    tiny_models.save_tokenizer(tmp_path)
    config = transformers.T5Config(vocab_size=15, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    whole = tiny_models.random(transformers.T5Model, config)
    tiny_models.save(whole, tmp_path)
    ids = torch.tensor([[2, 5, 7, 3]])  # [CLS] red mug [SEP]
    with torch.no_grad():
        expected = whole.encoder(ids).last_hidden_state.mean(dim=1).numpy()
    assert encoder(tmp_path).encode(["red mug"]) == pytest.approx(expected, abs=1e-5)


# the sentence-transformers layout


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token", "max_tokens"])
def test_a_sentence_model_is_pooled_normalised_and_cut_as_its_folder_says(tmp_path, pooling):
    folder = tiny_models.sentence_model(tmp_path, pooling)
    pool = {
        "mean_tokens": lambda states: states.mean(dim=0),
        "cls_token": lambda states: states[0],
        "max_tokens": lambda states: states.amax(dim=0),
    }[pooling]
    expected = torch.stack([pool(plain(folder, text, length=6)[0]) for text in TEXTS])
    expected = expected / expected.norm(dim=1, keepdim=True)
    got = encoder(folder)
    assert got.max_length == 6
    assert got.encode(TEXTS) == pytest.approx(expected.numpy(), abs=1e-5)


def test_texts_are_lowered_where_the_folder_says_so(tmp_path):
    folder = tiny_models.sentence_model(tmp_path, do_lower_case=True)
    tiny_models.save_tokenizer(folder, do_lower_case=False)
    got = encoder(folder).encode(["RED mug", "red mug"])
    assert np.array_equal(got[0], got[1])


def test_a_prompt_is_put_before_every_text(bert):
    assert np.array_equal(encoder(bert, prompt="p: ").encode(["red mug"]), encoder(bert).encode(["p: red mug"]))


# length


def test_texts_are_cut_after_as_many_tokens_as_are_asked_for(bert):
    assert encoder(bert, max_length=4).encode(["red mug of wool"]) == pytest.approx(
        encoder(bert).encode(["red mug"]), abs=1e-5
    )


def test_a_length_beyond_the_positions_is_refused(bert):
    with pytest.raises(UsageError, match=r"'hf.max_length' cannot be 21.*at most 20 tokens"):
        encoder(bert, max_length=21)


def test_roberta_reads_two_tokens_less_than_it_has_positions(tmp_path):
    tiny_models.save_tokenizer(tmp_path, longest=10**30)
    config = transformers.RobertaConfig(**tiny_models.TEXT | {"pad_token_id": 1})
    tiny_models.save(tiny_models.random(transformers.RobertaModel, config), tmp_path)
    got = encoder(tmp_path)
    assert got.max_length == 18
    assert np.isfinite(got.encode(["red " * 50])).all()


def test_without_positions_or_a_limit_of_the_tokenizer_512_tokens_are_read(tmp_path):
    tiny_models.save_tokenizer(tmp_path, longest=10**30)
    config = transformers.T5Config(vocab_size=15, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    tiny_models.save(tiny_models.random(transformers.T5EncoderModel, config), tmp_path)
    assert encoder(tmp_path).max_length == 512


# two towers


def test_siglip_reads_texts_padded_to_full_length_without_a_mask(tmp_path):
    folder = tiny_models.siglip(tmp_path)
    ids = torch.zeros(1, 20, dtype=torch.int64)
    ids[0, :4] = torch.tensor([2, 5, 7, 3])  # [CLS] red mug [SEP]
    with torch.no_grad():
        vector = transformers.SiglipModel.from_pretrained(folder).eval().get_text_features(ids).pooler_output
    expected = (vector / vector.norm()).numpy()
    assert encoder(folder).encode(["red mug"]) == pytest.approx(expected, abs=1e-5)


def test_a_tokenizer_that_is_a_sentencepiece_model_only_is_read(tmp_path):
    """SigLIP's own, for one; reading it takes the packages sentencepiece and protobuf."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tiny_models.siglip(tmp_path)
    for file in (*folder.glob("tokenizer*"), *folder.glob("vocab*")):
        file.unlink()
    with (folder / "spiece.model").open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["add dad"] * 9), model_writer=stream, vocab_size=8, minloglevel=2
        )
    tiny_models.write(folder / "tokenizer_config.json", {"tokenizer_class": "SiglipTokenizer", "model_max_length": 20})
    rows = encoder(folder).encode(["dad", "add"])
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    assert rows[0] != pytest.approx(rows[1], abs=1e-3)


def test_clip_reads_texts_up_to_their_end_token(tmp_path):
    folder = tiny_models.clip(tmp_path)
    with torch.no_grad():
        network = transformers.CLIPModel.from_pretrained(folder).eval()
        vector = network.get_text_features(torch.tensor([[2, 5, 7, 3]])).pooler_output
    got = encoder(folder).encode(["red mug", "a blue hat of wool"])
    assert got[0] == pytest.approx((vector / vector.norm()).numpy()[0], abs=1e-5)


# describing a catalogue


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_every_item_gets_the_vector_of_its_own_text_whatever_the_batches(bert, batch_size):
    texts = [*TEXTS, "", "mug"]
    items, rows = describe_texts(encoder(bert), texts, batch_size)
    assert items.tolist() == [0, 1, 2, 3, 5]
    alone = [encoder(bert).encode([texts[item]])[0] for item in items]
    assert rows == pytest.approx(np.stack(alone), abs=1e-5)


def test_a_catalogue_without_texts_is_an_error(bert):
    with pytest.raises(FeatureError, match="none of 2 items has a text"):
        describe_texts(encoder(bert), ["", ""], 4)


# folders


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path):
    folder = tiny_models.bert(tmp_path)
    for file in (*folder.glob("tokenizer*"), *folder.glob("vocab*")):
        file.unlink()
    with pytest.raises(ArtifactError, match="has no tokenizer"):
        encoder(folder)


def test_a_damaged_tokenizer_is_an_error_in_one_line(tmp_path):
    folder = tiny_models.bert(tmp_path)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ArtifactError, match="cannot read the tokenizer in") as caught:
        encoder(folder)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_model_is_an_error(tmp_path):
    config = transformers.BertConfig(**tiny_models.TEXT | {"vocab_size": 6})
    tiny_models.save_tokenizer(tmp_path)
    tiny_models.save(tiny_models.random(transformers.BertModel, config), tmp_path)
    with pytest.raises(ArtifactError, match="gives the id 7, the model knows 6"):
        encoder(tmp_path).encode(["red mug"])
