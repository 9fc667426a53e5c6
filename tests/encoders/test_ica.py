"""The objective against a plain version with full logits, and what must not change it."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from alignrec.encoders.ica import IcaBatch, IcaObjective, IcaSettings, bag_of_tokens_loss
from alignrec.encoders.masking import MaskedText, as_mask
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.pixel_values import standardise

VOCAB, VISUAL, PATCHES, LENGTH = 20, 7, 9, 6
MASK = VOCAB - 1
ENCODER = MultiwaySettings.preset(
    "tiny", layers=2, width=16, heads=2, ffn=32, image_size=24, patch_size=8, text_vocab=VOCAB, visual_vocab=VISUAL
)


def objective(**changed):
    weights = torch.linspace(0.5, 1.5, VOCAB)
    return IcaObjective(ENCODER, IcaSettings(**changed), weights, torch.Generator().manual_seed(0))


def yes(*absent):
    return torch.tensor([item not in absent for item in range(4)])


@pytest.fixture
def batch():
    """Four items; the texts are 6, 5, 4 and 6 long, two words are hidden in the first and one in the others."""
    rng = torch.Generator().manual_seed(3)
    padding = torch.arange(LENGTH) >= torch.tensor([6, 5, 4, 6])[:, None]
    tokens = torch.randint(4, MASK, (4, LENGTH), generator=rng).masked_fill(padding, 1)
    tokens[:, 0] = 0
    positions = torch.tensor([[1, 4], [2, 0], [1, 0], [3, 0]])
    targets = tokens.gather(1, positions)
    targets[1:, 1] = -100
    hidden = tokens.clone()
    for row, column in [(0, 1), (0, 4), (1, 2), (2, 1), (3, 3)]:
        hidden[row, column] = MASK
    return IcaBatch(
        images=torch.randint(0, 256, (4, 3, 24, 24), generator=rng, dtype=torch.uint8),
        visual_tokens=torch.randint(0, VISUAL, (4, PATCHES), generator=rng),
        tokens=tokens,
        padding=padding,
        hidden_words=MaskedText(hidden, positions, targets),
        hidden_patches=torch.tensor([[0, 1, 3], [4, 5, 8], [2, 6, 7], [0, 4, 8]]),
        has_image=yes(),
        has_text=yes(),
        shows_image=yes(),
        shows_text=yes(),
    )


def without_images(batch, *items):
    return replace(batch, has_image=yes(*items), shows_image=yes(*items))


def without_texts(batch, *items):
    return replace(batch, has_text=yes(*items), shows_text=yes(*items))


def plain(model, batch, *, passes):
    """Logits at every position, then the mean over what is hidden."""
    images, mask = standardise(batch.images), as_mask(batch.hidden_patches, PATCHES)
    hidden = batch.hidden_words.tokens
    if passes == "joint":
        words = patches = model.encoder(images, hidden, batch.padding, mask)
    else:
        words = model.encoder(images, hidden, batch.padding)
        patches = model.encoder(images, batch.tokens, batch.padding, mask)
    changed = hidden != batch.tokens
    return {
        "mlm": cross_entropy(model.mlm_head(words.text)[changed], batch.tokens[changed]).item(),
        "mim": cross_entropy(model.mim_head(patches.patches)[mask], batch.visual_tokens[mask]).item(),
    }


def values(terms):
    return {name: term.item() for name, term in terms.items()}


@pytest.mark.parametrize("passes", ["joint", "separate"])
def test_the_papers_losses_equal_full_logits_picked_at_the_hidden_positions(batch, passes):
    model = objective(passes=passes, cls_objective="none")
    assert values(model(batch)) == pytest.approx(plain(model, batch, passes=passes), abs=1e-5)


def test_without_a_cls_objective_there_are_mlm_and_mim_alone(batch):
    assert set(objective(cls_objective="none")(batch)) == {"mlm", "mim"}
    assert set(objective(cls_objective="bow")(batch)) == {"mlm", "mim", "cls_words", "cls_patches"}


def test_a_visual_token_that_is_shown_is_no_target(batch):
    model = objective(cls_objective="none")
    shown = batch.visual_tokens.clone()
    shown[0, 2] = (shown[0, 2] + 1) % VISUAL
    hidden = batch.visual_tokens.clone()
    hidden[0, 3] = (hidden[0, 3] + 1) % VISUAL
    before = values(model(batch))
    assert values(model(replace(batch, visual_tokens=shown))) == before
    assert values(model(replace(batch, visual_tokens=hidden)))["mim"] != before["mim"]


def test_what_lies_under_hidden_words_and_patches_cannot_be_seen(batch):
    """In a joint pass the pixels of hidden patches and the ids of hidden words reach no state."""
    model = objective(cls_objective="none")
    images, tokens = batch.images.clone(), batch.tokens.clone()
    images[0, :, 0:8, 0:16] = 255 - images[0, :, 0:8, 0:16]  # patches 0 and 1
    tokens[0, 1] = 5 if tokens[0, 1] != 5 else 6
    assert values(model(replace(batch, images=images, tokens=tokens))) == values(model(batch))


def test_in_separate_passes_the_words_see_the_whole_picture_and_the_patches_the_whole_text(batch):
    images, tokens = batch.images.clone(), batch.tokens.clone()
    images[0, :, 0:8, 0:16] = 255 - images[0, :, 0:8, 0:16]
    tokens[0, 1] = 5 if tokens[0, 1] != 5 else 6
    model = objective(passes="separate", cls_objective="none")
    before, other_image = values(model(batch)), values(model(replace(batch, images=images)))
    assert other_image["mim"] == before["mim"]
    assert other_image["mlm"] != before["mlm"]
    other_text = values(model(replace(batch, tokens=tokens)))
    assert other_text["mlm"] == before["mlm"]
    assert other_text["mim"] != before["mim"]


def test_an_item_without_picture_adds_nothing_to_mim(batch):
    model = objective(cls_objective="bow")
    lacking = without_images(batch, 2)
    other = lacking.visual_tokens.clone()
    other[2] = (other[2] + 1) % VISUAL
    images = lacking.images.clone()
    images[2] = 0
    assert values(model(replace(lacking, visual_tokens=other, images=images))) == values(model(lacking))


def test_an_item_without_text_adds_nothing_to_mlm(batch):
    model = objective(cls_objective="none")
    lacking = without_texts(batch, 0)
    other = lacking.hidden_words.targets.clone()
    other[0] = (other[0] + 1) % VOCAB
    words = replace(lacking.hidden_words, targets=other)
    assert values(model(replace(lacking, hidden_words=words))) == values(model(lacking))
    assert values(model(lacking))["mlm"] != values(model(batch))["mlm"]


@pytest.mark.parametrize("passes", ["joint", "separate"])
def test_a_dropped_text_is_not_read_but_still_asked_of_the_cls(batch, passes):
    model = objective(passes=passes)
    dropped = replace(batch, shows_text=yes(1))
    other = dropped.hidden_words.tokens.clone()
    other[1, 1:4] = 7
    words = replace(dropped.hidden_words, tokens=other)
    assert values(model(replace(dropped, hidden_words=words))) == values(model(dropped))
    bag = dropped.tokens.clone()
    bag[1, 1:4] = 7
    assert values(model(replace(dropped, tokens=bag)))["cls_words"] != values(model(dropped))["cls_words"]


def test_a_batch_with_nothing_to_predict_has_losses_and_gradients_of_zero(batch):
    model = objective(passes="separate")
    nothing = without_images(without_texts(batch, 0, 1, 2, 3), 0, 1, 2, 3)
    nothing = replace(nothing, tokens=nothing.tokens.masked_fill(nothing.tokens >= 4, 2))
    terms = model(nothing)
    assert all(value == 0 for value in values(terms).values())
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is None or bool((p.grad == 0).all()) for p in model.parameters())


def test_the_weight_of_the_bags_is_spread_over_the_passes(batch):
    for passes in ("joint", "separate"):
        once, twice = (values(objective(passes=passes, cls_weight=w)(batch)) for w in (1.0, 2.0))
        assert twice["cls_words"] == pytest.approx(2 * once["cls_words"], rel=1e-6)
        assert twice["cls_patches"] == pytest.approx(2 * once["cls_patches"], rel=1e-6)
        assert once["cls_words"] == pytest.approx(torch.tensor(float(VOCAB)).log().item(), abs=0.3)


def test_the_loss_of_a_bag_by_hand():
    """softmax = (1/8, 2/8, 5/8); the bag is {1: 3/4, 2: 1/4}; a row without weight does not count."""
    logits = torch.tensor([[1.0, 2.0, 5.0], [9.0, 0.5, 0.1]]).log()
    tokens = torch.tensor([[1, 2, 1], [0, 0, 0]])
    weights = torch.tensor([[2.0, 2.0, 4.0], [0.0, 0.0, 0.0]])
    expected = -(0.75 * torch.tensor(2 / 8).log() + 0.25 * torch.tensor(5 / 8).log())
    assert bag_of_tokens_loss(logits, tokens, weights).item() == pytest.approx(expected.item(), rel=1e-6)


def test_bfloat16_gives_nearly_the_same_losses(batch):
    exact, rough = (values(objective(precision=p)(batch)) for p in ("float32", "bfloat16"))
    assert rough == pytest.approx(exact, rel=0.03)


def test_a_batch_that_is_moved_keeps_its_parts(batch):
    moved = batch.to(torch.device("meta"))
    assert len(moved) == 4
    assert {moved.images.device.type, moved.hidden_words.tokens.device.type, moved.has_text.device.type} == {"meta"}
    assert batch.to(torch.device("cpu")) is batch
