"""The objective against a plain version with full logits, and what must not change it."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from alignrec.encoders.ica import IcaBatch, IcaObjective, IcaSettings
from alignrec.encoders.masking import MaskedText, as_mask
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.pixel_values import standardise
from alignrec.errors import SettingsError

VOCAB, VISUAL, PATCHES, LENGTH = 20, 7, 9, 6
MASK = VOCAB - 1
ENCODER = MultiwaySettings.preset(
    "tiny", layers=2, width=16, heads=2, ffn=32, image_size=24, patch_size=8, text_vocab=VOCAB, visual_vocab=VISUAL
)


def objective(encoder=None, **changed):
    weights = torch.linspace(0.5, 1.5, VOCAB)
    shape = ENCODER.model_copy(update=encoder or {})
    return IcaObjective(shape, IcaSettings(**changed), weights, torch.Generator().manual_seed(0))


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


TERMS = {
    "none": {"mlm", "mim"},
    "bow": {"mlm", "mim", "cls_words", "cls_patches"},
    "aggregate": {"mlm", "mim", "cls_mlm", "cls_mim"},
    "itc": {"mlm", "mim", "itc"},
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("passes", ["joint", "separate"])
@pytest.mark.parametrize("kind", TERMS)
def test_every_parameter_learns_from_batches_that_lack_this_and_that(batch, kind, passes, precision):
    """The terms are finite where modalities are missing or dropped and branches are skipped."""
    model = objective(cls_objective=kind, passes=passes, precision=precision, encoder={"drop_path": 0.3})
    rng = torch.Generator().manual_seed(0)
    for given in (without_texts(without_images(batch, 0), 1), replace(batch, shows_text=yes(2)), batch):
        terms = model(replace(given, drop_path=model.encoder.draw_drop_path(4, rng)))
        assert set(terms) == TERMS[kind]
        assert all(torch.isfinite(term) for term in terms.values())
        torch.stack(list(terms.values())).sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert idle == []
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())


@pytest.mark.parametrize("passes", ["joint", "separate"])
@pytest.mark.parametrize("kind", TERMS)
def test_logits_are_computed_for_hidden_tokens_alone(batch, kind, passes):
    """Five words and three patches of each of four pictures are hidden; a bag adds one row for each CLS."""
    model, rows = objective(cls_objective=kind, passes=passes), {"mlm_head": [], "mim_head": []}
    for name, found in rows.items():
        getattr(model, name).register_forward_hook(lambda _m, _i, logits, found=found: found.append(logits.shape[:-1]))
    model(batch)
    bags = {"joint": 1, "separate": 2}[passes] if kind == "bow" else 0
    times = 2 if kind == "aggregate" else 1
    assert rows == {"mlm_head": [(5,)] * times + [(4,)] * bags, "mim_head": [(12,)] * times + [(4,)] * bags}


def test_the_weight_scales_whatever_the_cls_objective_adds(batch):
    for kind in ("aggregate", "itc"):
        once, twice = (values(objective(cls_objective=kind, cls_weight=w)(batch)) for w in (1.0, 2.0))
        for name in TERMS[kind]:
            factor = 1 if name in ("mlm", "mim") else 2
            assert twice[name] == pytest.approx(factor * once[name], rel=1e-6)


def test_a_cls_objective_leaves_the_papers_losses_as_they_are(batch):
    plain = values(objective(cls_objective="none")(batch))
    for kind in ("bow", "aggregate", "itc"):
        terms = values(objective(cls_objective=kind)(batch))
        assert {name: terms[name] for name in plain} == pytest.approx(plain, rel=1e-6)


def test_pictures_are_matched_with_texts_whole_and_only_where_an_item_shows_both(batch):
    model = objective(cls_objective="itc")
    lacking = replace(without_texts(batch, 0), shows_image=yes(3))
    before = values(model(lacking))["itc"]
    images = lacking.images.clone()
    images[[0, 3]] = 255 - images[[0, 3]]
    assert values(model(replace(lacking, images=images)))["itc"] == before
    other = replace(lacking.hidden_words, tokens=lacking.tokens)
    assert values(model(replace(lacking, hidden_words=other)))["itc"] == before
    images[1] = 255 - images[1]
    assert values(model(replace(lacking, images=images)))["itc"] != before
    nothing = model(without_images(batch, 0, 1, 2, 3))["itc"]
    nothing.backward()
    assert nothing.item() == 0


@pytest.mark.parametrize("passes", ["joint", "separate"])
@pytest.mark.parametrize("kind", ["none", "bow", "aggregate"])
def test_a_run_on_one_modality_has_the_losses_of_that_alone(batch, kind, passes):
    changed = {"cls_objective": kind, "passes": passes}
    text = objective(modalities="text", **changed)(without_images(batch, 0, 1, 2, 3))
    image = objective(modalities="image", **changed)(without_texts(batch, 0, 1, 2, 3))
    assert set(text) == {name for name in TERMS[kind] if name in ("mlm", "cls_words", "cls_mlm")}
    assert set(image) == {name for name in TERMS[kind] if name in ("mim", "cls_patches", "cls_mim")}
    assert all(value > 0 for value in (values(text) | values(image)).values())


def test_matching_needs_both_modalities():
    with pytest.raises(SettingsError, match="cls_objective=itc matches pictures with texts"):
        IcaSettings.create({"cls_objective": "itc", "modalities": "image"}, section="ica")


@pytest.mark.parametrize("kind", TERMS)
def test_activations_computed_again_change_no_gradient(batch, kind):
    grads = []
    for again in (False, True):
        model = objective(cls_objective=kind, encoder={"checkpoint_activations": again})
        torch.stack(list(model(batch).values())).sum().backward()
        grads.append({name: p.grad for name, p in model.named_parameters()})
    assert all(torch.equal(grads[0][name], grads[1][name]) for name in grads[0])


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


def test_the_words_of_a_text_count_by_their_weight(batch):
    model = objective()
    elsewhere = set(batch.tokens[1:].flatten().tolist())
    one, other = [word for word in batch.tokens[0].tolist() if word >= 4 and word not in elsewhere][:2]

    def loss(weights):
        model.word_weights.zero_()
        for word, weight in weights.items():
            model.word_weights[word] = weight
        return values(model(batch))["cls_words"]

    assert loss({one: 1}) != pytest.approx(loss({other: 1}), rel=1e-3)
    assert loss({one: 3, other: 1}) == pytest.approx((3 * loss({one: 1}) + loss({other: 1})) / 4, rel=1e-5)


def test_bfloat16_gives_nearly_the_same_losses(batch):
    exact, rough = (values(objective(precision=p)(batch)) for p in ("float32", "bfloat16"))
    assert rough == pytest.approx(exact, rel=0.03)


def test_a_batch_that_is_moved_keeps_its_parts(batch):
    moved = batch.to(torch.device("meta"))
    assert len(moved) == 4
    assert {moved.images.device.type, moved.hidden_words.tokens.device.type, moved.has_text.device.type} == {"meta"}
    assert batch.to(torch.device("cpu")) is batch
