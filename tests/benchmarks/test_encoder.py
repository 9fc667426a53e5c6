"""The plain encoder must compute what ours computes, in values and gradients."""

import pytest
import torch

from alignrec.encoders import IcaObjective, IcaSettings, MultiwaySettings
from benchmarks.__main__ import collect
from benchmarks.encoder import PlainIca, draw_batch

SMALL = {"layers": 2, "width": 16, "heads": 2, "ffn": 32, "text_vocab": 40, "visual_vocab": 8}


def test_the_plain_objective_has_our_losses_and_gradients():
    settings = MultiwaySettings.preset("tiny", **SMALL)
    sides = [IcaObjective(settings, IcaSettings(), torch.ones(40), torch.Generator().manual_seed(0)) for _ in range(2)]
    theirs, ours, batch = PlainIca(sides[0]), sides[1], draw_batch(settings, 3)
    expected, found = theirs(batch), ours(batch)
    assert {n: t.item() for n, t in found.items()} == pytest.approx(
        {n: t.item() for n, t in expected.items()}, rel=1e-5
    )
    for terms in (expected, found):
        torch.stack(list(terms.values())).sum().backward()
    qkv = ours.encoder.blocks[0].text.qkv.weight.grad
    block = theirs.encoder.blocks[0]
    plain = torch.cat([getattr(block, name).text.weight.grad for name in ("query", "key", "value")])
    torch.testing.assert_close(qkv, plain, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours.mlm_head.project.weight.grad, theirs.mlm_head.weight.grad, rtol=1e-4, atol=1e-6)


def test_the_encoders_measures_are_found():
    assert {"encoder_step", "encoder_base_forward"} <= set(collect())
