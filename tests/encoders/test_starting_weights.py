import pytest
import torch
from golden import load_golden

from alignrec.encoders.beit3 import Beit3MismatchError
from alignrec.encoders.encoder_folder import EncoderFolder
from alignrec.encoders.multiway import MultiwayEncoder, TokenHead
from alignrec.encoders.starting_weights import read_starting_weights
from alignrec.encoders.vqkd import VqKd
from alignrec.errors import ArtifactError, UsageError


@pytest.fixture
def golden_file(goldens, tmp_path):
    tensors = load_golden(goldens, "beit3_tiny").tensors
    state = {name.removeprefix("state/"): value for name, value in tensors.items() if name.startswith("state/")}
    torch.save({"model": state}, tmp_path / "beit3.pth")
    return tmp_path / "beit3.pth"


@pytest.fixture
def words(goldens):
    """64 words."""
    tensors = load_golden(goldens, "vqkd_tiny").tensors
    state = {name.removeprefix("state/"): value for name, value in tensors.items() if name.startswith("state/")}
    return VqKd(state, heads=4)


@pytest.fixture
def folder(tmp_path, encoder, readers):
    """With both heads."""
    rng = torch.Generator().manual_seed(1)
    sizes = {"mlm_head": readers.text.vocab_size, "mim_head": readers.visual.vocab_size}
    folder = EncoderFolder(tmp_path / "encoder")
    folder.save_readers(readers)
    folder.save(encoder, readers, {}, {name: TokenHead(16, size, rng) for name, size in sizes.items()})
    return folder


def test_the_heads_of_a_file_are_counted_by_its_width_unless_told(golden_file):
    assert read_starting_weights(golden_file).settings.heads == 1
    assert read_starting_weights(golden_file, heads=4).settings.heads == 4


def test_an_encoders_folder_gives_back_its_weights_bit_by_bit(folder, encoder):
    weights = read_starting_weights(folder.path)
    other = MultiwayEncoder(encoder.settings, torch.Generator().manual_seed(9))
    vocabularies = weights.settings.text_vocab, weights.settings.visual_vocab
    mlm, mim = (TokenHead(16, size, torch.Generator().manual_seed(9)) for size in vocabularies)
    report = weights.copy_into(other, mlm_head=mlm, mim_head=mim, keep_text=True)
    assert report.fits
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in other.state_dict().items())
    assert torch.equal(mim.project.weight, folder.load_heads()["mim_head.weight"])


def test_without_the_text_its_embedding_stays_as_it_was(folder, encoder):
    settings = encoder.settings.model_copy(update={"text_vocab": 40})
    other = MultiwayEncoder(settings, torch.Generator().manual_seed(9))
    before = other.text_embedding.weight.clone()
    report = read_starting_weights(folder.path).copy_into(other, mlm_head=None, mim_head=None, keep_text=False)
    assert torch.equal(other.text_embedding.weight, before)
    assert torch.equal(other.cls_token, encoder.cls_token)
    assert "beit3.text_embed.weight" in report.dropped


def test_only_a_folder_knows_how_many_heads_it_has(folder, golden_file, encoder):
    weights = read_starting_weights(folder.path)
    weights.require_fit(encoder.settings)
    with pytest.raises(UsageError, match="is of an encoder with heads=2, the one to train has heads=4"):
        weights.require_fit(encoder.settings.model_copy(update={"heads": 4}))
    weights = read_starting_weights(golden_file)
    weights.require_fit(weights.settings.model_copy(update={"heads": 4}))


def test_what_is_missing_is_found_before_an_encoder_is_made(golden_file):
    content = torch.load(golden_file, weights_only=True)
    del content["model"]["beit3.vision_embed.mask_token"]
    torch.save(content, golden_file)
    weights = read_starting_weights(golden_file)
    with pytest.raises(Beit3MismatchError, match=r"1 missing \(beit3\.vision_embed\.mask_token\)"):
        weights.require_fit(weights.settings)


def test_a_head_knows_the_words_it_was_trained_on_and_no_others(folder, golden_file, readers, words):
    weights = read_starting_weights(folder.path)
    assert weights.knows_visual_words(readers.visual)
    assert not weights.knows_visual_words(words)
    assert not read_starting_weights(golden_file).knows_visual_words(words)  # 48 against 64 words
    content = torch.load(golden_file, weights_only=True)
    content["model"] |= {"mim_head.weight": torch.zeros(64, 32), "mim_head.bias": torch.zeros(64)}
    torch.save(content, golden_file)
    assert read_starting_weights(golden_file).knows_visual_words(words)


def test_the_hash_is_of_all_that_a_run_takes(folder, encoder, readers, tmp_path):
    bare = EncoderFolder(tmp_path / "bare")
    bare.save_readers(readers)
    bare.save(encoder, readers, {})
    assert read_starting_weights(bare.path).heads == frozenset()
    assert read_starting_weights(bare.path).content_hash != read_starting_weights(folder.path).content_hash


def test_what_is_no_encoder_is_refused_in_words(tmp_path, words):
    state = words.state_dict()
    torch.save(state, tmp_path / "vqkd.pth")
    with pytest.raises(ArtifactError, match="is a visual tokenizer"):
        read_starting_weights(tmp_path / "vqkd.pth")
    torch.save({"visual.proj": torch.ones(2, 2)}, tmp_path / "clip.pth")
    with pytest.raises(ArtifactError, match=r"clip\.pth: the checkpoint has no beit3\.text_embed\.weight"):
        read_starting_weights(tmp_path / "clip.pth")
    with pytest.raises(ArtifactError, match=r"gone\.pth is not a file"):
        read_starting_weights(tmp_path / "gone.pth")
