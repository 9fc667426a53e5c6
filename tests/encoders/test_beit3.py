"""Agreement with torchscale's BEiT-3 (golden `beit3_tiny`), and what the loader accepts and refuses."""

import pytest
import torch
from golden import assert_close, load_golden
from safetensors.torch import save_file
from torch.nn import functional

from alignrec.encoders.beit3 import Beit3MismatchError, beit3_settings, beit3_state, load_beit3
from alignrec.encoders.multiway import MultiwayEncoder, TokenHead, flat_positions
from alignrec.errors import ArtifactError, SettingsError

PREFIX = "beit3.encoder.layers.0.self_attn"


@pytest.fixture(scope="module")
def golden(request):
    return load_golden(request.getfixturevalue("goldens"), "beit3_tiny").tensors


@pytest.fixture
def state(golden):
    """The official checkpoint; a test may change the dictionary."""
    return {name.removeprefix("state/"): value for name, value in golden.items() if name.startswith("state/")}


def make(state, dtype=torch.float32, **changed):
    settings = beit3_settings(state, **{"heads": 4, "drop_path": 0.0, **changed})
    rng = torch.Generator().manual_seed(0)
    encoder = MultiwayEncoder(settings, rng)
    heads = [TokenHead(settings.width, vocab, rng) for vocab in (settings.text_vocab, settings.visual_vocab)]
    return encoder.to(dtype), heads[0].to(dtype), heads[1].to(dtype)


def load_all(state, dtype=torch.float32):
    encoder, mlm, mim = make(state, dtype)
    report = load_beit3(encoder, state, mlm_head=mlm, mim_head=mim)
    return encoder, mlm, mim, report


def weights(encoder):
    return {name: value.clone() for name, value in encoder.state_dict().items()}


def unchanged(encoder, before):
    return all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


# Agreement

CASES = {  # output -> arguments
    "image_text": ("images", "token_ids", "text_padding"),
    "image_text_masked": ("images", "token_ids", "text_padding", "masked_patches"),
    "image": ("images",),
    "text": ("token_ids", "text_padding"),
}


def inputs(golden, dtype):
    return {
        "images": golden["input/images"].to(dtype),
        "token_ids": golden["input/token_ids"],
        "text_padding": golden["input/text_padding"],
        "masked_patches": golden["input/vision_mask"],
    }


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_states_equal_the_official_ones(case, dtype, tolerance, golden, state):
    encoder, *_ = load_all(state, dtype)
    given = inputs(golden, dtype)
    with torch.no_grad():
        states = encoder(**{name: given[name] for name in CASES[case]})
    expected = golden[f"output/{case}"]
    if states.vision is not None:
        assert_close(states.vision, expected[:, :17], tolerance, "vision")
    if states.text is not None:
        real = ~given["text_padding"]
        assert_close(states.text[real], expected[:, -12:][real], tolerance, "text")


def test_the_item_vector_is_the_official_cls(golden, state):
    encoder, *_ = load_all(state, torch.float64)
    given = inputs(golden, torch.float64)
    with torch.no_grad():
        cls = encoder(given["images"], given["token_ids"], given["text_padding"]).cls
    assert_close(cls, golden["output/feature_cls"], 1e-10, "CLS")


def test_a_full_length_text_needs_no_padding(golden, state):
    encoder, *_ = load_all(state, torch.float64)
    row = (~golden["input/text_padding"]).all(dim=1)
    with torch.no_grad():
        states = encoder(token_ids=golden["input/token_ids"][row])
    assert_close(states.text, golden["output/text_nopad"], 1e-10, "text")


def test_masked_losses_and_all_gradients_equal_the_official_ones(golden, state):
    encoder, mlm, mim, _ = load_all(state, torch.float64)
    given = inputs(golden, torch.float64)
    text_mask, patch_mask = golden["input/text_mask"], golden["input/vision_mask"]
    text = encoder(given["images"], golden["input/corrupted_ids"], given["text_padding"]).text
    mlm_logits = mlm(text, flat_positions(text_mask))
    mim_logits = mim(encoder(**given).patches, flat_positions(patch_mask))
    assert_close(mlm_logits.detach(), golden["output/mlm_logits"], 1e-10, "MLM logits")
    assert_close(mim_logits.detach(), golden["output/mim_logits"], 1e-10, "MIM logits")
    loss = functional.cross_entropy(mlm_logits, given["token_ids"][text_mask])
    loss = loss + functional.cross_entropy(mim_logits, golden["input/visual_tokens"][patch_mask])
    assert_close(loss.detach(), golden["loss/total"], 1e-10, "loss")
    loss.backward()
    official = {name: golden[f"grad/{name}"] for name in state}
    expected, expected_mlm, expected_mim, _ = load_all(official, torch.float64)
    for ours, theirs in ((encoder, expected), (mlm, expected_mlm), (mim, expected_mim)):
        for name, value in theirs.named_parameters():
            gradient = ours.get_parameter(name).grad
            assert gradient is not None, name
            assert_close(gradient, value.detach(), 1e-9, f"gradient of {name}")


# What is accepted


def test_every_tensor_of_the_file_is_used(state):
    encoder, mlm, mim, report = load_all(state)
    assert set(report.loaded) == set(state)
    assert report.fits
    assert report.absent + report.dropped + report.resized == ()
    used = sum(parameter.numel() for module in (encoder, mlm, mim) for parameter in module.parameters())
    dead = 2 * 2 * 32  # two rows of each position table
    assert used + dead == sum(value.numel() for value in state.values())


def test_settings_are_read_off_the_file(state):
    settings = beit3_settings(state, heads=4)
    shape = {"layers": 2, "width": 32, "ffn": 64, "image_size": 32, "patch_size": 8}
    vocab = {"text_vocab": 100, "visual_vocab": 48, "text_positions": 12}
    assert {name: getattr(settings, name) for name in shape | vocab} == shape | vocab


def test_heads_nobody_asked_for_are_dropped(state):
    state["vision_head.weight"], state["logit_scale"] = torch.ones(32, 32), torch.ones(())
    state["pooler.dense.weight"], state["head.0.bias"] = torch.ones(4), torch.ones(4)
    encoder, mlm, _ = make(state)
    report = load_beit3(encoder, state, mlm_head=mlm)
    heads = {"vision_head.weight", "logit_scale", "pooler.dense.weight", "head.0.bias"}
    assert set(report.dropped) == heads | {"mim_head.weight", "mim_head.bias"}
    assert torch.equal(mlm.project.weight, state["mlm_head.weight"].float())


def test_what_fine_tuned_files_lack_stays_as_it_was(state):
    lacking = [name for name in state if name.startswith(("beit3.encoder.layer_norm.", "mim_head"))]
    short = {name: value for name, value in state.items() if name not in lacking}
    encoder, mlm, mim = make(state)
    head = mim.project.weight.clone()
    report = load_beit3(encoder, short, mlm_head=mlm, mim_head=mim)
    assert set(report.absent) == set(lacking)
    assert torch.equal(mim.project.weight, head)
    assert torch.equal(encoder.vision_norm.weight, torch.ones(32))
    assert torch.equal(encoder.cls_token, state["beit3.vision_embed.cls_token"].float())


@pytest.mark.parametrize("kind", ["model", "module", "bare", "safetensors"])
def test_files_of_every_kind_load(kind, state, tmp_path):
    path = tmp_path / ("x.safetensors" if kind == "safetensors" else "x.pth")
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state if kind == "bare" else {kind: {f"module.{n}": v for n, v in state.items()}}, path)
    encoder, *_ = make(state)
    load_beit3(encoder, path)
    assert torch.equal(encoder.text_embedding.weight, state["beit3.text_embed.weight"].float())
    assert beit3_settings(path, heads=4).layers == 2


def test_an_encoder_is_named_as_the_official_files_do(state):
    encoder, mlm, mim, _ = load_all(state, torch.float64)
    own = beit3_state(encoder, mlm_head=mlm, mim_head=mim)
    assert own.keys() == state.keys()
    for name, value in state.items():
        rows = slice(2, None) if "embed_positions" in name else slice(None)  # two rows are never read
        assert own[name].shape == value.shape
        assert torch.equal(own[name][rows], value[rows]), name


def test_what_is_left_out_stays_as_it_was(state):
    encoder, *_ = make(state, text_vocab=30)
    before = encoder.text_embedding.weight.clone()
    report = load_beit3(encoder, state, leave_out={"beit3.text_embed.weight"})
    assert torch.equal(encoder.text_embedding.weight, before)
    assert "beit3.text_embed.weight" in report.dropped
    assert report.fits


def test_an_encoder_without_numbers_is_only_checked(state):
    encoder = MultiwayEncoder(beit3_settings(state, heads=4), None)
    assert load_beit3(encoder, state).fits
    assert encoder.cls_token.is_meta


# What is refused


@pytest.mark.parametrize("spoiled", [torch.ones(3), torch.ones(0, 32), torch.tensor(1.0)])
def test_tensors_that_no_settings_can_be_read_off_are_refused(state, spoiled):
    state["beit3.text_embed.weight"] = spoiled
    with pytest.raises(ArtifactError, match=r"has no usable beit3\.text_embed\.weight, so it is not a BEiT-3"):
        beit3_settings(state)


@pytest.mark.parametrize(
    ("change", "kind", "name", "message"),
    [
        (lambda s: s.pop(f"{PREFIX}.q_proj.A.weight"), "missing", f"{PREFIX}.q_proj.A.weight", "1 missing"),
        (lambda s: s.update(extra=torch.ones(1)), "unexpected", "extra", r"1 unexpected \(extra\)"),
        (
            lambda s: s.update({f"{PREFIX}.out_proj.B.bias": torch.ones(31)}),
            "misshaped",
            f"{PREFIX}.out_proj.B.bias is (31,), needed (32,)",
            "1 misshaped",
        ),
        (
            lambda s: s.update({f"{PREFIX}.k_proj.B.weight": torch.ones(32, 16)}),
            "misshaped",
            f"{PREFIX}.k_proj.B.weight is (32, 16), needed (32, 32)",
            "1 misshaped",
        ),
    ],
    ids=["missing", "unexpected", "misshaped", "misshaped-part"],
)
def test_a_file_that_does_not_fit_is_refused_and_nothing_is_copied(change, kind, name, message, state):
    encoder, *_ = make(state)
    before = weights(encoder)
    change(state)
    with pytest.raises(Beit3MismatchError, match=message) as caught:
        load_beit3(encoder, state)
    assert name in getattr(caught.value.report, kind)
    assert "\n" not in str(caught.value)
    assert unchanged(encoder, before)


def test_a_deeper_encoder_names_how_many_tensors_are_missing(state):
    encoder, *_ = make(state, layers=3)
    with pytest.raises(
        Beit3MismatchError, match=r"40 missing \(beit3\.encoder\.layers\.2\.\S+, \S+, \S+, …\)"
    ) as caught:
        load_beit3(encoder, state)
    assert len(caught.value.report.missing) == 40


def test_without_strictness_what_fits_is_copied(state):
    encoder, *_ = make(state)
    before = weights(encoder)
    del state[f"{PREFIX}.v_proj.A.weight"]
    state["beit3.text_embed.weight"] = torch.ones(90, 32)
    report = load_beit3(encoder, state, strict=False)
    assert not report.fits
    now = encoder.state_dict()
    for name in ("blocks.0.vision.qkv.weight", "text_embedding.weight"):
        assert torch.equal(now[name], before[name])
    assert torch.equal(now["blocks.0.text.fc1.weight"], state["beit3.encoder.layers.0.ffn.B.fc1.weight"].float())


def test_a_checkpoint_of_another_architecture_is_refused_in_words():
    with pytest.raises(
        ArtifactError, match=r"has no beit3\.text_embed\.weight, so it is not a BEiT-3 checkpoint; .* a, b"
    ):
        beit3_settings({"b": torch.ones(1), "a": torch.ones(1)})


def test_settings_that_cannot_be_are_refused(state):
    with pytest.raises(SettingsError, match="heads=5"):
        beit3_settings(state, heads=5)


# Positions

VISION, TEXT = "beit3.encoder.embed_positions.A.weight", "beit3.encoder.embed_positions.B.weight"


def load_at(state, **changed):
    encoder, *_ = make(state, torch.float64, **changed)
    return encoder, load_beit3(encoder, state)


def test_positions_of_the_same_size_are_taken_as_they_are(state):
    encoder, report = load_at(state)
    assert torch.equal(encoder.vision_positions, state[VISION][2:])
    assert report.resized == ()


@pytest.mark.parametrize("image_size", [16, 48, 64])
def test_other_resolutions_get_interpolated_positions(image_size, state):
    encoder, report = load_at(state, image_size=image_size)
    assert encoder.vision_positions.shape == (1 + (image_size // 8) ** 2, 32)
    assert torch.equal(encoder.vision_positions[0], state[VISION][2]), "the position of CLS is kept"
    assert report.resized == (VISION,)
    assert encoder(torch.zeros(1, 3, image_size, image_size, dtype=torch.float64)).cls.shape == (1, 32)


def test_interpolation_keeps_directions_apart(state):
    """A table that grows along the rows still does so, and is level along the columns."""
    ramp = torch.arange(4.0, dtype=torch.float64).repeat_interleave(4)  # the row of each patch
    state[VISION][3:] = ramp[:, None]
    encoder, _ = load_at(state, image_size=64)
    square = encoder.vision_positions[1:, 0].reshape(8, 8).detach()
    torch.testing.assert_close(square, square[:, :1].expand(8, 8))
    assert (square[:, 0].diff() > 0).all()
    torch.testing.assert_close(square[3:5, 0].mean(), torch.tensor(1.5, dtype=torch.float64))


def test_half_precision_positions_are_interpolated(state):
    halves = {name: value.bfloat16() for name, value in state.items()}
    encoder, report = load_at(halves, image_size=48)
    assert torch.isfinite(encoder.vision_positions).all()
    assert report.fits


def test_shorter_texts_take_the_first_positions(state):
    encoder, report = load_at(state, text_positions=7)
    assert torch.equal(encoder.text_positions, state[TEXT][2:9])
    assert report.resized == (TEXT,)


def test_longer_texts_and_tables_that_are_no_square_are_refused(state):
    encoder, *_ = make(state, text_positions=20)
    with pytest.raises(Beit3MismatchError, match=r"embed_positions\.B\.weight is \(14, 32\), needed \(22, 32\)"):
        load_beit3(encoder, state)
    encoder, *_ = make(state)
    state[VISION] = state[VISION][:-1]
    with pytest.raises(Beit3MismatchError, match=r"embed_positions\.A\.weight is \(18, 32\), needed \(19, 32\)"):
        load_beit3(encoder, state)
