import math

import pytest
import torch
from torch.nn import functional

from alignrec.encoders.multiway_layers import ModalityExpert, MultiwayBlock, small_normal_

WIDTH, HEADS, FFN = 12, 3, 20


@pytest.fixture
def block():
    block = MultiwayBlock(WIDTH, HEADS, FFN).double()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(generator=rng)
    return block


def states(*lengths):
    rng = torch.Generator().manual_seed(1)
    return [torch.randn(2, n, WIDTH, generator=rng, dtype=torch.float64) for n in lengths]


def plain_block(block, vision, text, allowed):
    """The block token by token and head by head, as the formulas are written."""
    tokens = [(block.vision, x) for x in vision] + [(block.text, x) for x in text]  # of one item
    q, k, v = zip(*(e.qkv(e.attention_norm(x)).chunk(3) for e, x in tokens), strict=True)
    outcome, size = [], WIDTH // HEADS
    for row, (expert, x) in enumerate(tokens):
        heads = []
        for part in (slice(h * size, (h + 1) * size) for h in range(HEADS)):
            seen = [j for j in range(len(tokens)) if allowed[j]]
            weights = torch.stack([q[row][part] @ k[j][part] / math.sqrt(size) for j in seen]).softmax(0)
            heads.append(sum(w * v[j][part] for w, j in zip(weights, seen, strict=True)))
        x = x + expert.out(expert.inner_norm(torch.cat(heads)))
        x = x + expert.fc2(expert.mid_norm(functional.gelu(expert.fc1(expert.ffn_norm(x)))))
        outcome.append(x)
    return torch.stack(outcome)


def test_a_block_equals_the_formulas_token_by_token(block):
    vision, text = states(4, 3)
    allowed = torch.tensor([[1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1]], dtype=torch.bool)
    ours = torch.cat(block(vision, text, allowed[:, None, None], None), dim=1)
    plain = torch.stack([plain_block(block, vision[b], text[b], allowed[b]) for b in range(2)])
    torch.testing.assert_close(ours, plain)


def test_a_modality_alone_uses_its_own_expert_only(block):
    (vision,) = states(4)
    alone, absent = block(vision, None, None, None)
    assert absent is None
    alone.sum().backward()
    assert all(p.grad is not None for p in block.vision.parameters())
    assert all(p.grad is None for p in block.text.parameters())
    absent, alone = block(None, vision, None, None)
    assert absent is None
    assert alone.shape == vision.shape


def test_scale_zero_skips_the_block_for_that_item_alone(block):
    vision, text = states(4, 3)
    skipped = block(vision, text, None, torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64))
    whole = block(vision, text, None, None)
    for before, ours, full in zip((vision, text), skipped, whole, strict=True):
        assert torch.equal(ours[0], before[0])
        assert torch.equal(ours[1], full[1])


def test_values_start_larger_than_queries_by_the_gain():
    expert = ModalityExpert(WIDTH, HEADS, FFN)
    expert.initialise(1.5, torch.Generator().manual_seed(0))
    bound = math.sqrt(6 / (2 * WIDTH))  # Xavier's, of a square matrix
    queries, keys, values = expert.qkv.weight.abs().chunk(3)
    for weight, gain in ((queries, 1 / math.sqrt(2)), (keys, 1 / math.sqrt(2)), (values, 1.5 / math.sqrt(2))):
        assert 0.9 * bound * gain < weight.max() <= bound * gain
    assert 0.9 * bound * 1.5 < expert.out.weight.abs().max() <= bound * 1.5
    assert not any(layer.bias.any() for layer in (expert.qkv, expert.out, expert.fc1, expert.fc2))


def test_small_normal_stays_within_two_deviations():
    table = torch.empty(200, 50)
    small_normal_(table, torch.Generator().manual_seed(0))
    assert table.abs().max() <= 0.04
    assert 0.017 < table.std() < 0.02  # the cut takes a part of the variance
