"""The three objectives of the CLS state against worked examples and plain compositions."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from alignrec.encoders.cls_objectives import AggregationHead, ContrastHead, bag_of_tokens_loss
from alignrec.encoders.multiway import KeptTokens, MultiwayEncoder
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.errors import SettingsError

SMALL = {"layers": 4, "width": 16, "heads": 2, "ffn": 32, "image_size": 16, "patch_size": 8, "text_vocab": 20}


def generator():
    return torch.Generator().manual_seed(0)


def make(blocks=2, **changed):
    settings = MultiwaySettings.preset("tiny", **SMALL | changed)
    encoder = MultiwayEncoder(settings, generator())
    return encoder, AggregationHead(settings, blocks, generator())


def embedded(encoder):
    """Two items of 1 + 4 and 3 tokens; the second text has only two."""
    images = torch.rand(2, 3, 16, 16, generator=generator()) * 2 - 1
    padding = torch.tensor([[False, False, False], [False, False, True]])
    return encoder.embed(images, torch.tensor([[0, 5, 2], [0, 7, 1]]), padding)


KEPT = KeptTokens(torch.tensor([[0, 1, 3], [0, 2, 4]]), torch.tensor([[0, 1], [0, 1]]))


def test_the_loss_of_a_bag_by_hand():
    """softmax = (1/8, 2/8, 5/8); the bag is {1: 3/4, 2: 1/4}; a row without weight does not count."""
    logits = torch.tensor([[1.0, 2.0, 5.0], [9.0, 0.5, 0.1]]).log()
    tokens = torch.tensor([[1, 2, 1], [0, 0, 0]])
    weights = torch.tensor([[2.0, 2.0, 4.0], [0.0, 0.0, 0.0]])
    expected = -(0.75 * torch.tensor(2 / 8).log() + 0.25 * torch.tensor(5 / 8).log())
    assert bag_of_tokens_loss(logits, tokens, weights).item() == pytest.approx(expected.item(), rel=1e-6)


def test_early_is_three_quarters_of_the_depth_as_in_beit_v2_and_at_least_one_block():
    depths = {layers: make(layers=layers)[1].early for layers in (2, 3, 4, 12)}
    assert depths == {2: 1, 3: 2, 4: 3, 12: 9}
    with pytest.raises(SettingsError, match=r"encoder\.layers=1 has no early block"):
        make(layers=1)


def test_the_head_reads_the_last_cls_and_bos_beside_early_states():
    encoder, head = make()
    early = encoder.run_blocks(embedded(encoder), stop=head.early)
    last = encoder.run_blocks(early, start=head.early)
    vision = torch.stack([last.vision[:, 0], *early.vision.unbind(1)[1:]], dim=1)
    text = torch.stack([last.text[:, 0], *early.text.unbind(1)[1:]], dim=1)
    for block in head.blocks:
        vision, text = block(vision, text, early.keys, None)
    found = head(encoder, early, encoder.run_blocks(early, start=head.early, kept=KEPT), KEPT, None)
    rows = torch.arange(2)[:, None]
    torch.testing.assert_close(found.vision, encoder.vision_norm(vision)[rows, KEPT.vision])
    torch.testing.assert_close(found.text, encoder.text_norm(text)[rows, KEPT.text])


def test_what_the_last_blocks_know_of_a_patch_reaches_the_head_through_cls_and_bos_only():
    encoder, head = make()
    early = encoder.run_blocks(embedded(encoder), stop=head.early)
    last = encoder.run_blocks(early, start=head.early)
    before = head(encoder, early, last, KEPT, None)
    with torch.no_grad():
        last.vision[:, 1:] += 1
        last.text[:, 1:] += 1
    assert torch.equal(head(encoder, early, last, KEPT, None).patches, before.patches)
    with torch.no_grad():
        last.text[:, 0] += 1
    assert not torch.equal(head(encoder, early, last, KEPT, None).patches, before.patches)


def test_the_heads_blocks_drop_what_the_blocks_they_stand_for_drop():
    """With a weight of 0 a block leaves the states as they are."""
    encoder, head = make(blocks=2)
    early = encoder.run_blocks(embedded(encoder), stop=head.early)
    last = encoder.run_blocks(early, start=head.early)
    draws = torch.ones(4, 2, 2)
    draws[3] = 0  # block `early` + 1 = 4 is the encoder's last, for the head's second block too
    found = head(encoder, early, last, KEPT, draws)
    assert torch.equal(found.cls, encoder.vision_norm(last.cls))
    assert torch.equal(found.bos, encoder.text_norm(last.bos))
    assert not torch.equal(head.eval()(encoder, early, last, KEPT, draws).cls, found.cls)


def test_the_contrast_is_the_mean_of_both_directions_at_temperature_007():
    head = ContrastHead(8, generator())
    cls, bos = torch.randn(2, 3, 8, generator=generator()).unbind(0)
    images, texts = head.image(cls), head.text(bos)
    scores = torch.stack([cosine_similarity(image, texts, dim=1) for image in images]) / 0.07
    rows = sum(-scores[b].log_softmax(0)[b] for b in range(3)) / 3
    columns = sum(-scores[:, b].log_softmax(0)[b] for b in range(3)) / 3
    torch.testing.assert_close(head(cls, bos), (rows + columns) / 2)
    assert head(cls[:1], bos[:1]).item() == 0


def test_the_temperature_stops_at_a_hundredth_and_can_leave_it_again():
    head = ContrastHead(8, generator())
    cls, bos = torch.randn(2, 3, 8, generator=generator()).unbind(0)
    with torch.no_grad():
        head.log_scale.fill_(math.log(100))
    at_the_bound = head(cls, bos).item()
    with torch.no_grad():
        head.log_scale.fill_(9.0)
    beyond = head(cls, bos)
    assert beyond.item() == pytest.approx(at_the_bound, rel=1e-5)
    beyond.backward()
    assert head.log_scale.grad > 0  # random pairs: a higher temperature would cost less
