import math

import pytest
import torch

from alignrec.encoders.multiway import KeptTokens, MultiwayEncoder, TokenHead, flat_positions
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.errors import UsageError

SMALL = {"layers": 2, "width": 32, "heads": 4, "ffn": 64, "image_size": 16, "patch_size": 4, "text_vocab": 50}


def make(seed=0, **changed):
    settings = MultiwaySettings.preset("tiny", **{**SMALL, **changed})
    return MultiwayEncoder(settings, torch.Generator().manual_seed(seed))


@pytest.fixture
def inputs():
    """Three items; the texts have 7, 4 and 5 tokens."""
    rng = torch.Generator().manual_seed(1)
    lengths = torch.tensor([7, 4, 5])
    padding = torch.arange(7) >= lengths[:, None]
    ids = torch.randint(4, 50, (3, 7), generator=rng).masked_fill(padding, 1)
    masked = torch.rand(3, 16, generator=rng) < 0.4
    return {
        "images": torch.rand(3, 3, 16, 16, generator=rng) * 2 - 1,
        "token_ids": ids,
        "text_padding": padding,
        "masked_patches": masked,
    }


KINDS = {
    "both": ("images", "token_ids", "text_padding", "masked_patches"),
    "image": ("images", "masked_patches"),
    "text": ("token_ids", "text_padding"),
}


@pytest.fixture(params=KINDS)
def given(request, inputs):
    return {name: inputs[name] for name in KINDS[request.param]}


def joined(states):
    """All states that mean something, as one tensor."""
    parts = [] if states.vision is None else [states.vision.flatten(0, 1)]
    if states.text is not None:
        real = torch.ones(states.text.shape[:2], dtype=torch.bool)
        real = real if states.keys is None else states.keys[:, 0, 0, -states.text.shape[1] :]
        parts.append(states.text[real])
    return torch.cat(parts)


def test_base_with_both_heads_has_276_51_million_parameters():
    settings = MultiwaySettings.preset("base")
    parts = [MultiwayEncoder(settings, None)]
    parts += [TokenHead(settings.width, vocab, None) for vocab in (settings.text_vocab, settings.visual_vocab)]
    count = sum(parameter.numel() for part in parts for parameter in part.parameters())
    assert round(count / 1e6, 2) == 276.51
    assert all(parameter.is_meta for part in parts for parameter in part.parameters())


@pytest.mark.parametrize("layers", [12, 16, 20])
def test_each_layer_of_base_adds_14_2_million_parameters(layers):
    encoder = MultiwayEncoder(MultiwaySettings.preset("base", layers=layers), None)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    per_layer = 2 * (4 * 768 * 769 + 2 * 768 * 3072 + 3072 + 768 + 3 * 2 * 768 + 2 * 3072)
    shared = count - layers * per_layer
    assert shared == 64010 * 768 + (16 * 16 * 3 + 1) * 768 + 2 * 768 + (197 + 1022) * 768 + 4 * 768


@pytest.mark.parametrize("layers", [1, 5])
def test_any_depth_encodes(layers, inputs):
    states = make(layers=layers)(**inputs)
    assert states.vision.shape == (3, 17, 32)
    assert states.text.shape == (3, 7, 32)
    assert torch.isfinite(joined(states)).all()


def test_what_stands_at_padding_changes_nothing_else(inputs):
    encoder = make()
    longer = {**inputs, "token_ids": torch.nn.functional.pad(inputs["token_ids"], (0, 5), value=23)}
    longer["token_ids"][inputs["text_padding"].nonzero(as_tuple=True)] = 42
    longer["text_padding"] = torch.nn.functional.pad(inputs["text_padding"], (0, 5), value=True)
    torch.testing.assert_close(joined(encoder(**longer)), joined(encoder(**inputs)))


def test_an_item_is_encoded_alike_alone_and_in_company(given):
    encoder = make()
    together = encoder(**given)
    alone = encoder(**{name: value[1:2] for name, value in given.items()})
    if together.vision is not None:
        torch.testing.assert_close(alone.vision[0], together.vision[1])
    if together.text is not None:
        torch.testing.assert_close(alone.text[0, :4], together.text[1, :4])


def test_a_text_without_padding_needs_no_padding_mask(inputs):
    encoder, ids = make(), inputs["token_ids"][:1]
    without = encoder(inputs["images"][:1], ids)
    masked = encoder(inputs["images"][:1], ids, torch.zeros_like(ids, dtype=torch.bool))
    assert without.keys is None
    torch.testing.assert_close(joined(without), joined(masked))


def test_pixels_under_masked_patches_are_not_seen(inputs):
    encoder = make()
    hidden = inputs["masked_patches"].reshape(3, 4, 4).repeat_interleave(4, 1).repeat_interleave(4, 2)
    other = torch.where(hidden[:, None], -inputs["images"], inputs["images"])
    assert torch.equal(joined(encoder(**{**inputs, "images": other})), joined(encoder(**inputs)))
    assert not torch.equal(encoder(other).cls, encoder(inputs["images"]).cls)


def test_patches_are_numbered_row_by_row(inputs):
    encoder, images = make(), inputs["images"]
    other = images.clone()
    other[:, :, 0, 5] += 1  # in the second patch of the first row
    changed = (encoder.embed(other).patches != encoder.embed(images).patches).any(dim=2)
    assert changed.nonzero()[:, 1].tolist() == [1, 1, 1]


def test_the_modalities_see_each_other(inputs):
    encoder = make()
    both = encoder(**inputs)
    assert not torch.allclose(both.cls, encoder(inputs["images"], masked_patches=inputs["masked_patches"]).cls)
    assert not torch.allclose(both.bos, encoder(None, inputs["token_ids"], inputs["text_padding"]).bos)


def test_blocks_can_be_run_in_parts(given):
    encoder = make(layers=3)
    early = encoder.run_blocks(encoder.embed(**given), stop=2)
    late = encoder.normalise(encoder.run_blocks(early, start=2))
    assert torch.equal(joined(late), joined(encoder(**given)))


@pytest.mark.parametrize("again", [False, True])
def test_kept_tokens_have_the_states_and_gradients_they_have_among_all(given, again):
    """Twice the same token is allowed; a modality without a choice is kept whole."""
    encoder = make(checkpoint_activations=again)
    vision = torch.tensor([[0, 3, 16], [0, 1, 2], [5, 0, 5]])
    whole, rows = encoder(**given), torch.arange(3)[:, None]
    for kept in (KeptTokens(vision, torch.tensor([[0], [1], [3]])), KeptTokens(vision), KeptTokens(text=vision % 4)):
        found = encoder(**given, kept=kept)
        for name in ("vision", "text"):
            places, states = getattr(kept, name), getattr(whole, name)
            if states is not None:
                expected = states if places is None else states[rows, places]
                torch.testing.assert_close(getattr(found, name), expected, atol=2e-6, rtol=1e-5)
                assert_same_gradients(encoder, expected, getattr(found, name))


def assert_same_gradients(encoder, one, other):
    pairs = [
        torch.autograd.grad(states.pow(3).sum(), list(encoder.parameters()), retain_graph=True, allow_unused=True)
        for states in (one, other)
    ]
    for expected, found in zip(*pairs, strict=True):
        if expected is not None and bool(expected.any()):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_pass_leaves_the_module_as_it_was(inputs):
    encoder = make()
    seen = {name: dict(vars(module)) for name, module in encoder.named_modules()}
    weights = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder(**inputs)
    encoder(inputs["images"])
    assert {name: vars(module) for name, module in encoder.named_modules()} == seen
    assert all(torch.equal(value, weights[name]) for name, value in encoder.state_dict().items())


def test_it_compiles_as_one_graph(given):
    encoder = make().eval()
    compiled = torch.compile(encoder, fullgraph=True, backend="eager")
    torch.testing.assert_close(joined(compiled(**given)), joined(encoder(**given)))
    kept = KeptTokens(*(torch.tensor([[0, 1]] * 3) if name in given else None for name in ("images", "token_ids")))
    found, expected = (side(**given, kept=kept) for side in (compiled, encoder))
    for name in ("vision", "text"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))


def test_bf16_autocast_is_close_to_single_precision(given):
    check_bf16(make(), given, "cpu")


@pytest.mark.gpu
def test_bf16_autocast_is_close_to_single_precision_on_cuda(given):
    check_bf16(make().cuda(), {name: value.cuda() for name, value in given.items()}, "cuda")


def check_bf16(encoder, given, device):
    whole = joined(encoder(**given))
    with torch.autocast(device, torch.bfloat16):
        half = joined(encoder(**given))
    assert not torch.equal(half.float(), whole)
    assert (half.float() - whole).pow(2).mean().sqrt() < 0.03  # states have unit variance
    half.float().pow(2).sum().backward()
    grads = [parameter.grad for parameter in encoder.parameters() if parameter.grad is not None]
    assert grads
    assert all(torch.isfinite(grad).all() for grad in grads)


def gradients(encoder, given, drop_path):
    encoder.zero_grad()
    joined(encoder(**given, drop_path=drop_path)).pow(3).sum().backward()
    return {
        name: parameter.grad.clone() for name, parameter in encoder.named_parameters() if parameter.grad is not None
    }


def test_checkpointed_activations_give_the_same_gradients(given):
    kept, again = make(drop_path=0.5), make(drop_path=0.5, checkpoint_activations=True)
    draws = kept.draw_drop_path(3, torch.Generator().manual_seed(0))
    expected, found = gradients(kept, given, draws), gradients(again, given, draws)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_checkpointed_activations_run_blocks_twice(inputs):
    def calls(encoder):
        count = []
        for block in encoder.blocks:
            block.register_forward_pre_hook(lambda *_: count.append(1))
        joined(encoder(**inputs)).sum().backward()
        return len(count)

    assert calls(make()) == 2
    assert calls(make(checkpoint_activations=True)) == 4


def test_drop_path_is_off_in_evaluation(inputs):
    dropping, plain = make(drop_path=0.9).eval(), make(drop_path=0.0)
    rng = torch.Generator().manual_seed(0)
    assert dropping.draw_drop_path(3, rng) is None
    draws = dropping.train().draw_drop_path(3, rng)
    assert torch.equal(joined(dropping.eval()(**inputs, drop_path=draws)), joined(plain(**inputs)))


def test_drop_path_rises_with_depth_and_keeps_the_mean():
    encoder = make(layers=5, drop_path=0.4)
    draws = encoder.draw_drop_path(20_000, torch.Generator().manual_seed(0))
    assert draws.shape == (5, 2, 20_000)
    shares = (draws == 0).float().mean(dim=(1, 2))
    torch.testing.assert_close(shares, torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4]), atol=0.01, rtol=0)
    torch.testing.assert_close(draws.mean(dim=(1, 2)), torch.ones(5), atol=0.02, rtol=0)
    assert torch.equal(draws, encoder.draw_drop_path(20_000, torch.Generator().manual_seed(0)))


def test_training_without_the_draws_of_drop_path_is_refused(inputs):
    with pytest.raises(UsageError, match="draw_drop_path"):
        make(drop_path=0.1)(**inputs)


def test_initial_numbers_come_from_the_generator_alone():
    before = torch.get_rng_state()
    first, same, other = make(0).state_dict(), make(0).state_dict(), make(1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert all(torch.isfinite(value).all() for value in first.values())
    assert not torch.equal(first["blocks.1.text.fc1.weight"], other["blocks.1.text.fc1.weight"])
    assert not torch.equal(first["blocks.1.text.fc1.weight"], first["blocks.1.vision.fc1.weight"])


def test_positions_do_not_swamp_the_content_at_the_start():
    encoder = make()
    assert encoder.vision_positions.std() < 0.025
    assert encoder.text_positions.std() < 0.025
    bound = math.sqrt(6 / (32 + 64)) * math.sqrt(math.log(4))  # Xavier's times Magneto's gain for two layers
    assert 0.95 * bound < encoder.blocks[1].vision.fc1.weight.abs().max() <= bound


def test_a_head_computes_only_the_rows_asked_for():
    rng = torch.Generator().manual_seed(0)
    head, states = TokenHead(32, 50, rng), torch.randn(3, 7, 32, generator=rng)
    mask = torch.rand(3, 7, generator=rng) < 0.4
    positions = flat_positions(mask)
    assert positions.tolist() == [7 * b + j for b, j in mask.nonzero().tolist()]
    torch.testing.assert_close(head(states, positions), head(states)[mask])
    assert head(states[:, 0]).shape == (3, 50)
    assert head(states, flat_positions(torch.zeros_like(mask))).shape == (0, 50)


def test_wrong_inputs_are_refused_in_words(inputs):
    encoder = make(text_positions=6)
    with pytest.raises(UsageError, match="nothing to encode"):
        encoder()
    with pytest.raises(UsageError, match=r"\(3, 3, 8, 16\); this encoder takes \(B, 3, 16, 16\)"):
        encoder(inputs["images"][:, :, :8])
    with pytest.raises(UsageError, match="7 tokens long; this encoder takes up to 6"):
        encoder(None, inputs["token_ids"])
    with pytest.raises(UsageError, match="texts alone"):
        _ = encoder(None, inputs["token_ids"][:, :6]).cls
    with pytest.raises(UsageError, match="pictures alone"):
        _ = encoder(inputs["images"]).bos
