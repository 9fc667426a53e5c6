"""Pre-training on a catalogue made of arrays: four kinds of items, each with its colour, visual tokens and words."""

import math
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alignrec.encoders.catalogue_inputs import CatalogueInputs
from alignrec.encoders.ica import IcaObjective, IcaSettings
from alignrec.encoders.image_cache import ImageCache
from alignrec.encoders.image_resizing import OUTCOMES, ImageSettings
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.errors import TrainingError
from alignrec.runtime import numpy_rng
from alignrec.training.encoder import (
    MaskedItems,
    MaskingSettings,
    PretrainingSettings,
    held_out_items,
    held_out_losses,
    pretrain,
)
from alignrec.training.journal import RunFiles

ITEMS, VOCAB, VISUAL, LENGTH = 40, 21, 4, 8
MASK = VOCAB - 1
SETTINGS = PretrainingSettings(steps=12, round_steps=4, batch_size=8, lr=2e-3, held_out=0.1, checkpoint_seconds=0)


@pytest.fixture
def inputs():
    """Item i is of kind i % 4, and its first pixel is i; items 0 to 2 lack the picture, the text, and both."""
    kinds = np.arange(ITEMS) % 4
    squares = np.zeros((ITEMS, 3, 16, 16), dtype=np.uint8)
    squares += (60 * kinds).astype(np.uint8)[:, None, None, None]
    squares[:, 0, 0, 0] = np.arange(ITEMS)
    tokens = np.full((ITEMS, LENGTH), 2, dtype=np.int32)
    tokens[:, 0] = 0
    tokens[:, 1:7] = 4 + 4 * kinds[:, None] + np.arange(6) % 4
    has_text = ~np.isin(np.arange(ITEMS), [1, 2])
    tokens[~has_text, 1:] = [2, *[1] * 6]
    outcomes = np.full(ITEMS, OUTCOMES.index("found"), dtype=np.uint8)
    outcomes[[0, 2]] = OUTCOMES.index("missing")
    images = ImageCache(Path("nowhere"), ImageSettings(size=16), squares, outcomes)
    visual = np.repeat(kinds[:, None], 16, axis=1).astype(np.int16)
    starts = torch.arange(VOCAB) % 2 == 0  # words of two pieces
    return CatalogueInputs(images, visual, tokens, has_text, starts)


def objective(seed=0, ica=None, **changed):
    shape = {"layers": 2, "width": 16, "heads": 2, "ffn": 32, "image_size": 16, "patch_size": 4}
    encoder = MultiwaySettings.preset("tiny", **shape | changed, text_vocab=VOCAB, visual_vocab=VISUAL)
    return IcaObjective(encoder, IcaSettings(**ica or {}), torch.ones(VOCAB), torch.Generator().manual_seed(seed))


def source(inputs, items=None, seed=0, settings=SETTINGS, **masking):
    chosen = np.arange(ITEMS) if items is None else items
    return MaskedItems(inputs, chosen, objective(), MaskingSettings(**masking), settings, seed)


def first_pixels(batches):
    return [batch.images[:, 0, 0, 0].tolist() for batch in batches]


def parts(batch):
    hidden = batch.hidden_words
    return [batch.images, hidden.tokens, hidden.positions, batch.hidden_patches, batch.shows_image, batch.shows_text]


def same(one, other):
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, b) for x, y in pairs for a, b in zip(parts(x), parts(y), strict=True))


def validation(inputs, model, seed=0):
    items = held_out_items(ITEMS, SETTINGS.held_out, seed)
    held_out = MaskedItems(inputs, items, model, MaskingSettings(), SETTINGS, seed)
    return lambda _round: held_out_losses(held_out, items, model, seed)


def run(inputs, model, settings=SETTINGS, validate=None, **others):
    check = validate or validation(inputs, model)
    return pretrain(model, inputs, settings, MaskingSettings(), check, seed=0, **others)


def test_a_round_repeats_and_rounds_and_seeds_differ(inputs):
    first = list(source(inputs).epoch(1))
    assert len(first) == 4
    assert all(len(batch) == 8 for batch in first)
    assert same(first, list(source(inputs).epoch(1)))
    assert not same(first, list(source(inputs).epoch(2)))
    assert not same(first, list(source(inputs, seed=1).epoch(1)))


def test_every_item_is_read_once_in_each_pass_over_the_catalogue(inputs):
    """40 items in batches of 8 are five batches; rounds of four batches do not disturb that."""
    batches = source(inputs)
    read = [item for number in range(1, 6) for group in first_pixels(batches.epoch(number)) for item in group]
    passes = [read[start : start + ITEMS] for start in range(0, len(read), ITEMS)]
    assert len(passes) == 4
    assert all(sorted(one) == list(range(ITEMS)) for one in passes)
    assert passes[0] != passes[1]


def test_a_batch_may_be_larger_than_the_catalogue(inputs):
    batch = next(source(inputs, items=np.arange(3), settings=replace_setting(batch_size=8)).epoch(1))
    counts = np.bincount(batch.images[:, 0, 0, 0].numpy(), minlength=3)
    assert sorted(counts.tolist()) == [2, 3, 3]


def test_batches_that_share_a_step_hold_the_items_of_one_large_batch(inputs):
    large = source(inputs)
    small = source(inputs, settings=replace_setting(batch_size=4, accumulate=2))
    assert (large.steps(), small.steps()) == (4, 8)
    for number in (1, 2):
        expected, found = (first_pixels(batches.epoch(number)) for batches in (large, small))
        assert [one + other for one, other in zip(found[::2], found[1::2], strict=True)] == expected


def test_a_pass_over_the_catalogue_is_shuffled_once(inputs, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "alignrec.training.encoder.numpy_rng", lambda *names: drawn.append(names[1:]) or numpy_rng(*names)
    )
    batches = source(inputs)
    for number in (1, 2, 3):  # twelve batches of eight: two passes over 40 items and a part of the third
        list(batches.epoch(number))
    assert [names for names in drawn if names[0] == "order"] == [("order", 0), ("order", 1), ("order", 2)]


def test_preparing_ahead_changes_no_batch_and_no_weight(inputs):
    ahead = replace_setting(prefetch=3)
    assert same(list(source(inputs).epoch(1)), list(source(inputs, settings=ahead).epoch(1)))
    models = [objective(drop_path=0.3), objective(drop_path=0.3)]
    for model, settings in zip(models, (SETTINGS, ahead), strict=True):
        run(inputs, model, settings)
    pairs = zip(*(model.state_dict().values() for model in models), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_nothing_is_prepared_after_training_failed(inputs, monkeypatch):
    """The thread is gone when the error arrives, and so is the error of a batch that cannot be made."""
    model = objective()
    with torch.no_grad():
        model.mlm_head.project.bias.fill_(math.nan)
    before = threading.active_count()
    with pytest.raises(TrainingError, match="mlm"):
        run(inputs, model, replace_setting(prefetch=2))
    assert threading.active_count() == before

    def broken(*_):
        raise OSError("the disk is gone")

    monkeypatch.setattr(MaskedItems, "batch", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        run(inputs, objective(), replace_setting(prefetch=2))
    assert threading.active_count() == before


@pytest.mark.parametrize(("modalities", "term"), [("image", "mim"), ("text", "mlm")])
def test_a_run_on_one_modality_shows_and_predicts_nothing_of_the_other(inputs, modalities, term):
    model = objective(ica={"modalities": modalities})
    batches = MaskedItems(inputs, np.arange(ITEMS), model, MaskingSettings(), SETTINGS, 0)
    shown = next(batches.epoch(1))
    assert bool(shown.shows_image.any()) == (modalities == "image")
    assert bool(shown.shows_text.any()) == (modalities == "text")
    names = {"image": {"mim", "cls_patches"}, "text": {"mlm", "cls_words"}}[modalities]
    result = run(inputs, model)
    assert all(set(line["loss"]) == names | {"total"} for line in result.history)
    assert result.history[-1]["loss"][term] > 0


def test_a_round_leaves_one_line_with_its_step_and_named_losses(inputs, monkeypatch):
    jobs = []
    monkeypatch.setattr("alignrec.training.encoder.run_loop", lambda job, *_, **__: jobs.append(job))
    run(inputs, objective())
    line = {"epoch": 3, "loss": {"mlm": 1.25, "total": 1.25}, "valid": {"ica": -2.0, "mlm": 2.0, "zero-shot cls": 0.5}}
    assert jobs[0].note(line) == "step 12: mlm 1.2500  total 1.2500 | held out: mlm 2.0000  zero-shot cls 0.5000"


def replace_setting(**changed):
    return SETTINGS.model_copy(update=changed)


def test_no_item_loses_both_modalities_or_the_only_one_it_has(inputs):
    batches = [batch for number in range(1, 11) for batch in source(inputs, modality_dropout=0.4).epoch(number)]
    both = torch.cat([batch.has_image & batch.has_text for batch in batches])
    has = torch.cat([torch.stack([batch.has_image, batch.has_text]) for batch in batches], dim=1)
    shows = torch.cat([torch.stack([batch.shows_image, batch.shows_text]) for batch in batches], dim=1)
    assert torch.equal(shows.any(dim=0), has.any(dim=0))
    assert torch.equal(shows[:, ~both], has[:, ~both])
    dropped = (~shows[:, both]).float().mean(dim=1)
    assert dropped.tolist() == pytest.approx([0.2, 0.2], abs=0.08)
    assert all(torch.equal(b.shows_image, b.has_image) for b in source(inputs, modality_dropout=0.0).epoch(1))


def test_hidden_parts_are_of_the_sizes_asked_for(inputs):
    for batch in source(inputs, text_share=0.5, image_share=0.25).epoch(1):
        assert batch.hidden_patches.shape == (8, 4)
        counts = batch.hidden_words.present.sum(dim=1)
        assert torch.equal(counts, torch.where(batch.has_text, 4, 0))


def test_the_mask_is_the_tokenizers_last_id_even_where_the_embedding_has_rows_to_spare(inputs):
    whole = objective()
    spare = replace(inputs, word_starts=inputs.word_starts[:-3])
    batch = MaskedItems(spare, np.arange(ITEMS), whole, MaskingSettings(), SETTINGS, 0)
    hidden = next(batch.epoch(1)).hidden_words
    assert hidden.present.any()
    shown = hidden.tokens.gather(1, hidden.positions)
    assert (shown[hidden.present] == MASK - 3).all()


def test_words_of_several_pieces_can_be_hidden_whole(inputs):
    """Two tokens of eight: both pieces of one word, or </s> and the beginning of one."""

    def whole(batch):
        hidden = (batch.hidden_words.tokens == MASK)[batch.has_text]
        return (hidden[:, 1:7].view(len(hidden), 3, 2).all(dim=2).any(dim=1) | hidden[:, 7]).tolist()

    assert all(all(whole(batch)) for batch in source(inputs, text_share=0.25, whole_word=True).epoch(1))
    assert not all(all(whole(batch)) for batch in source(inputs, text_share=0.25).epoch(1))


def test_held_out_items_are_a_share_of_all_and_never_trained_on(inputs, monkeypatch):
    held_out = held_out_items(ITEMS, 0.1, 0)
    assert len(held_out) == 4
    assert np.array_equal(held_out, np.unique(held_out))
    read = []
    draw = MaskedItems.batch
    monkeypatch.setattr(MaskedItems, "batch", lambda self, items, *rest: read.extend(items) or draw(self, items, *rest))
    model = objective()
    run(inputs, model, validate=lambda _round: {"ica": 0.0})
    assert len(read) == 12 * 8
    assert set(read) == set(range(ITEMS)) - set(held_out.tolist())


def test_validation_always_hides_the_same_and_sums_its_terms(inputs):
    model = objective()
    check = validation(inputs, model)
    first = check(1)
    assert first == check(2)
    assert first["ica"] == pytest.approx(-(first["mlm"] + first["mim"] + first["cls_words"] + first["cls_patches"]))
    assert not model.training


def test_weight_decay_spares_vectors_positions_and_single_tokens(inputs, monkeypatch):
    jobs = []
    monkeypatch.setattr("alignrec.training.encoder.run_loop", lambda job, *_, **__: jobs.append(job))
    model = objective()
    run(inputs, model, replace_setting(weight_decay=0.3))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {g["weight_decay"]: {names[id(p)] for p in g["params"]} for g in jobs[0].optimizer.param_groups}
    assert groups[0.3] | groups[0.0] == set(names.values())
    spared = {"cls_token", "mask_token", "vision_positions", "text_positions"}
    assert {f"encoder.{name}" for name in spared} <= groups[0.0]
    shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
    assert {name for name in groups[0.0] if shapes[name] > 1} == {f"encoder.{name}" for name in spared}
    assert {"encoder.text_embedding.weight", "mlm_head.project.weight"} <= groups[0.3]


def test_the_steps_asked_for_are_rounded_up_to_whole_rounds(inputs):
    result = run(inputs, objective(), replace_setting(steps=9, round_steps=4))
    assert [line["epoch"] for line in result.history] == [1, 2, 3]


def test_losses_fall_far_below_what_counting_reaches(inputs):
    """Guessing by frequency costs log 4 a visual token and log 16 or more a word; the items' kinds say far more."""
    model = objective(width=32, ffn=64)
    settings = replace_setting(steps=200, round_steps=50, batch_size=16, lr=5e-3)
    result = run(inputs, model, settings)
    last = result.history[-1]["valid"]
    assert last["mim"] < 0.3 * math.log(4)
    assert last["mlm"] < 0.7 * math.log(16)
    assert last["cls_words"] < 0.8 * math.log(16)
    assert result.history[0]["valid"]["ica"] < last["ica"]


@pytest.mark.parametrize(("kind", "drop_path"), [("bow", 0.0), ("aggregate", 0.3), ("itc", 0.3)])
def test_a_run_killed_in_a_round_and_resumed_ends_with_the_same_bytes(inputs, tmp_path, kind, drop_path):
    changed = {"ica": {"cls_objective": kind}, "drop_path": drop_path}
    whole, files = objective(**changed), RunFiles(tmp_path / "whole")
    run(inputs, whole, files=files)

    class PowerError(Exception):
        pass

    broken, stopped = objective(**changed), RunFiles(tmp_path / "stopped")
    check = validation(inputs, broken)

    def fails_in_round_two(number):
        if number == 2:
            raise PowerError
        return check(number)

    with pytest.raises(PowerError):
        run(inputs, broken, validate=fails_in_round_two, files=stopped)
    resumed = objective(seed=5, **changed)
    result = run(inputs, resumed, files=stopped)
    assert result.epochs == 3
    assert stopped.metrics.read_bytes() == files.metrics.read_bytes()
    assert stopped.checkpoint.read_bytes() == files.checkpoint.read_bytes()
    pairs = zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_items_that_lack_both_modalities_do_no_harm(inputs):
    nothing = replace(inputs, has_text=np.zeros(ITEMS, dtype=bool))
    result = run(nothing, objective())
    assert all(math.isfinite(line["loss"]["total"]) for line in result.history)
    assert result.history[-1]["loss"]["mlm"] == 0


@pytest.mark.gpu
def test_batches_follow_the_objective_to_the_device(inputs):
    model = objective()
    result = run(inputs, model, device=torch.device("cuda"))
    assert next(model.parameters()).device.type == "cuda"
    assert math.isfinite(result.history[-1]["valid"]["ica"])
