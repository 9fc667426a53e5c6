import json

import pytest
import torch
from golden import load_golden

from alignrec.encoders.patch_kmeans import PatchKMeans, PatchKMeansSettings
from alignrec.encoders.visual_tokens import load_visual_tokenizer, require_fit
from alignrec.encoders.vqkd import VqKd
from alignrec.errors import ArtifactError, UsageError


@pytest.fixture(params=["patch-kmeans", "vqkd"])
def tokenizer(request, goldens):
    if request.param == "patch-kmeans":
        noise = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        return PatchKMeans.fit([noise], PatchKMeansSettings(patch_size=8, vocab_size=16))
    state = load_golden(goldens, "vqkd_tiny").tensors
    return VqKd({name[6:]: value.float() for name, value in state.items() if name.startswith("state/")}, heads=4)


def test_every_tokenizer_gives_one_word_a_patch(tokenizer):
    tokens = tokenizer.encode(torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    assert (tokens.shape, tokens.dtype) == ((3, tokenizer.grid(32) ** 2), torch.int64)
    assert int(tokens.max()) < tokenizer.vocab_size
    assert 32 // tokenizer.patch_size == tokenizer.grid(32)


def test_a_folder_says_itself_which_tokenizer_it_holds(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "words")
    again = load_visual_tokenizer(tmp_path / "words")
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert type(again) is type(tokenizer)
    assert torch.equal(again.encode(images), tokenizer.encode(images))


def test_an_encoders_folder_and_an_official_file_are_read_too(goldens, tmp_path):
    state = load_golden(goldens, "vqkd_tiny").tensors
    state = {name[6:]: value.float() for name, value in state.items() if name.startswith("state/")}
    VqKd(state).save(tmp_path / "encoder" / "visual")
    torch.save({"model": state}, tmp_path / "vqkd.pth")
    hashes = {load_visual_tokenizer(tmp_path / name).content_hash for name in ("encoder", "encoder/visual", "vqkd.pth")}
    assert len(hashes) == 1


def test_words_fit_an_encoder_of_the_same_patches(tokenizer):
    require_fit(tokenizer, 32, 8)
    with pytest.raises(UsageError, match="reads patches of 8 pixels, the encoder's have 16"):
        require_fit(tokenizer, 32, 16)
    with pytest.raises(UsageError, match=r"; set encoder\.image_size to that, or take another visual tokenizer"):
        require_fit(tokenizer, 36, 8)


def test_more_words_than_16_bits_hold_are_refused(tokenizer, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "vocab_size", 32_769)
    with pytest.raises(UsageError, match="has 32769 words; 32768 is the most"):
        require_fit(tokenizer, 32, 8)


def test_words_of_an_unknown_kind_are_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps({"kind": "dall-e"}))
    with pytest.raises(ArtifactError, match=r"'dall-e', this version reads patch-kmeans, vqkd"):
        load_visual_tokenizer(tmp_path)
