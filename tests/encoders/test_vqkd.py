import argparse

import numpy as np
import pytest
import torch
from golden import load_golden
from safetensors.torch import save_file

from alignrec.encoders.vqkd import VqKd
from alignrec.errors import ArtifactError, UsageError


@pytest.fixture(scope="module")
def golden(goldens):
    return load_golden(goldens, "vqkd_tiny")


@pytest.fixture(scope="module")
def state(golden):
    return {name.removeprefix("state/"): value for name, value in golden.tensors.items() if name.startswith("state/")}


@pytest.fixture(scope="module")
def words(state):
    return VqKd({name: value.float() for name, value in state.items()}, heads=4)


def test_codes_are_those_of_the_official_program(golden, state):
    codes = VqKd(state, heads=4).codes(golden.tensors["input/images"])
    assert (codes - golden.tensors["output/patch_code"]).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_words_are_those_of_the_official_program(golden, state, dtype):
    words = VqKd({name: value.to(dtype) for name, value in state.items()}, heads=4)
    assert torch.equal(words.encode(golden.tensors["input/images"].to(dtype)), golden.tensors["output/tokens"])


def test_sizes_are_read_off_the_tensors(words):
    assert (words.vocab_size, words.patch_size, words.image_size, words.grid(32)) == (64, 8, 32, 4)


def test_what_makes_no_words_is_left_out_and_named(words, state):
    assert set(words.report.loaded) | set(words.report.left_out) == set(state)
    assert {name.split(".")[0] for name in words.report.left_out} == {"decoder", "decode_task_layer", "quantize"}
    assert "quantize.embedding.weight" in words.report.loaded


@pytest.mark.parametrize("wrapped", ["model", "state_dict", None])
def test_an_official_file_is_read_with_its_command_line_beside_the_weights(golden, state, tmp_path, wrapped):
    content = {wrapped: state, "args": argparse.Namespace(lr=1.0), "epoch": 99} if wrapped else state
    torch.save(content, tmp_path / "vqkd.pth")
    words = VqKd.from_checkpoint(tmp_path / "vqkd.pth", heads=4)
    assert torch.equal(words.encode(golden.tensors["input/images"].float()), golden.tensors["output/tokens"])


def test_safetensors_are_read_too(golden, state, tmp_path):
    save_file({name: value.clone() for name, value in state.items()}, tmp_path / "vqkd.safetensors")
    words = VqKd.from_checkpoint(tmp_path / "vqkd.safetensors", heads=4)
    assert torch.equal(words.encode(golden.tensors["input/images"].float()), golden.tensors["output/tokens"])


def test_dark_bytes_are_not_taken_for_shares_of_one(words):
    """The official program looks at the largest value of the batch: there a black picture means something else."""
    dark = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (2, 3, 32, 32), dtype=np.uint8))
    bright = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    assert torch.equal(words.encode(torch.cat([dark, bright]))[:2], words.encode(dark))


def test_it_is_read_back_as_it_was_written(words, golden, tmp_path):
    words.save(tmp_path / "words")
    again = VqKd.load(tmp_path / "words")
    images = golden.tensors["input/images"].float()
    assert again.heads == 4
    assert torch.equal(again.encode(images), words.encode(images))


def test_nothing_in_it_is_trained(words):
    assert not any(parameter.requires_grad for parameter in words.parameters())
    assert not words.training


def changed(state, what):
    tensors = dict(state)
    if what == "missing":
        del tensors["encoder.blocks.1.attn.v_bias"]
    elif what == "unexpected":
        tensors["encoder.blocks.0.gamma_1"] = torch.ones(32)
    else:
        tensors["encoder.fc_norm.weight"] = torch.ones(31)
    return tensors


@pytest.mark.parametrize("what", ["missing", "unexpected", "misshaped"])
def test_what_does_not_fit_is_named_in_one_line(state, what):
    with pytest.raises(ArtifactError, match=rf"1 {what} \(encoder\..*; use an official file") as caught:
        VqKd(changed(state, what), heads=4)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_something_else_is_no_vqkd(tmp_path):
    torch.save({"model": {"beit3.text_embed.weight": torch.zeros(4, 4)}}, tmp_path / "other.pth")
    with pytest.raises(ArtifactError, match=r"other\.pth has no usable encoder\.pos_embed.*text_embed"):
        VqKd.from_checkpoint(tmp_path / "other.pth")


def test_heads_that_do_not_divide_the_width_are_refused(state):
    with pytest.raises(UsageError, match="5 attention heads"):
        VqKd(state, heads=5)


def test_images_of_another_size_are_refused(words):
    with pytest.raises(UsageError, match="32 pixels a side, not 64"):
        words.encode(torch.zeros(1, 3, 64, 64))


def test_a_folder_of_another_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"kind": "patch-kmeans", "format": 1}')
    with pytest.raises(ArtifactError, match="no VQ-KD tokenizer"):
        VqKd.load(tmp_path)
