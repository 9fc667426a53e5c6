"""Going on from BEiT-3's weights (golden `beit3_tiny`) or from an encoder's folder: what is taken, what is told."""

import json
import math

import numpy as np
import pytest
import torch
from golden import assert_close, load_golden

from alignrec.artifacts import read_arrays
from alignrec.data import Dataset
from alignrec.encoders import ImageSettings, build_image_cache, load_visual_tokenizer
from alignrec.encoders import beit3_state as official_names
from alignrec.studies import beginning_lines, pretrain_encoder

pytest.importorskip("sentencepiece")


def train(shop, out, settings, **start):
    merged = {
        **settings,
        "start": {name: value if value in ("new", "paper") else str(value) for name, value in start.items()},
    }
    return pretrain_encoder(shop, out=out, settings=merged, device="cpu")


def record(folder):
    return folder.description()["about"]["start"]


@pytest.fixture
def started(shop32, beit3_file, spm, vqkd_folder, from_golden, tmp_path):
    """Two steps that move nothing."""
    files = {"weights": beit3_file, "text_tokenizer": spm, "visual_tokenizer": vqkd_folder}
    return train(shop32, tmp_path / "encoder", from_golden, **files)


def test_training_starts_exactly_from_the_weights_of_the_checkpoint(started, beit3_state, goldens):
    encoder, readers, _ = started.load()
    own = official_names(encoder)
    dead = slice(2, None)  # two rows of each position table are never read
    for name, value in own.items():
        rows = dead if "embed_positions" in name else slice(None)
        assert torch.equal(value[rows], beit3_state[name][rows]), name
    heads = started.load_heads()
    assert torch.equal(heads["mlm_head.weight"], beit3_state["mlm_head.weight"])
    golden = load_golden(goldens, "beit3_tiny").tensors
    given = golden["input/images"].float(), golden["input/token_ids"], golden["input/text_padding"]
    with torch.no_grad():
        assert_close(encoder(*given).cls, golden["output/feature_cls"], 1e-5, "CLS")
    assert (readers.text.vocab_size, encoder.settings.text_vocab) == (96, 100)


def test_the_report_names_every_kind_of_tensor(started):
    weights = record(started)["weights"]
    assert weights["name"] == "beit3_tiny.pth"
    assert weights["tensors"]["loaded"] == 95 - 2
    assert weights["tensors"]["dropped"] == ["mim_head.bias", "mim_head.weight"]
    assert not any(weights["tensors"][kind] for kind in ("missing", "unexpected", "misshaped", "absent", "resized"))
    assert (weights["text_embedding"], weights["mlm_head"]) == ("taken", "taken")
    assert weights["mim_head"] == "drawn anew: the visual words are others"
    assert json.loads((started.path / "start.json").read_text()) == record(started)


def test_losses_before_training_stand_beside_chance(started):
    weights = record(started)["weights"]
    assert weights["chance"] == pytest.approx({"mlm": math.log(100), "mim": math.log(64)})
    # the golden's weights are random, so its head of words must not look trained; the new head knows nothing yet
    assert weights["first_losses"]["mlm"] > math.log(100)
    assert weights["first_losses"]["mim"] == pytest.approx(math.log(64), abs=0.1)
    lines = beginning_lines(record(started))
    assert lines[0].startswith("started from beit3_tiny.pth: 93 tensors taken (0 missing, 0 unexpected, 0 misshaped,")
    assert "the MLM head is worse than chance: check that the text tokenizer" in lines[3]
    assert "of 64 used, perplexity" in lines[-1]


def test_the_words_of_the_catalogue_are_the_official_programs(started, vqkd_folder, shop32):
    tokenizer = load_visual_tokenizer(vqkd_folder)
    readers = started.load()[1]
    images = build_image_cache(Dataset.load(shop32), ImageSettings(size=32))
    expected = tokenizer.encode(images.load(range(40)))
    assert torch.equal(torch.from_numpy(readers.inputs(Dataset.load(shop32)).visual_tokens.astype(np.int64)), expected)
    usage = record(started)["visual_usage"]
    assert (usage["used"], usage["tokens"]) == (len(expected.unique()), 640)


def with_mim_head(state, weight, bias):
    return state | {"mim_head.weight": weight, "mim_head.bias": bias}


def test_a_head_of_visual_words_that_beats_chance_is_kept_and_one_that_does_not_is_drawn_anew(
    shop32, beit3_state, spm, vqkd_folder, from_golden, tmp_path
):
    tokens = load_visual_tokenizer(vqkd_folder).encode(
        build_image_cache(Dataset.load(shop32), ImageSettings(size=32)).load(range(40))
    )
    frequent = torch.bincount(tokens.flatten(), minlength=64).add(2).log()
    heads = {"kept": (torch.zeros(64, 32), frequent), "anew": (torch.zeros(64, 32), -frequent)}
    told, files = {}, {"text_tokenizer": spm, "visual_tokenizer": vqkd_folder}
    for name, (weight, bias) in heads.items():
        torch.save(with_mim_head(beit3_state, weight, bias), tmp_path / f"{name}.pth")
        folder = train(shop32, tmp_path / name, from_golden, weights=tmp_path / f"{name}.pth", **files)
        told[name] = record(folder)["weights"]
        assert torch.equal(folder.load_heads()["mim_head.bias"], bias) == (name == "kept")
    assert told["kept"]["mim_head"] == "taken"
    assert told["kept"]["first_losses"]["mim"] < math.log(64)
    assert told["anew"]["mim_head"] == "drawn anew: worse than chance, so its visual words are others"
    assert told["anew"]["first_losses"]["mim"] > math.log(64)


def test_words_fitted_here_never_get_a_head_that_learnt_others(shop32, beit3_file, spm, from_golden, tmp_path):
    """Even where there are as many of them."""
    from_golden["catalogue"]["visual_vocab"] = 48
    folder = train(shop32, tmp_path / "encoder", from_golden, weights=beit3_file, text_tokenizer=spm)
    assert record(folder)["weights"]["mim_head"] == "drawn anew: the visual words are others"
    assert folder.description()["encoder"]["visual_vocab"] == 48


def test_another_vocabulary_may_take_the_rest(shop32, beit3_file, beit3_state, large_spm, from_golden, tmp_path):
    files = {"weights": beit3_file, "text_tokenizer": large_spm}
    folder = train(shop32, tmp_path / "encoder", from_golden, **files, text="new")
    encoder, _, about = folder.load()
    assert about["encoder"]["text_vocab"] == 152
    weights = record(folder)["weights"]
    assert weights["text_embedding"] == weights["mlm_head"] == "drawn anew: start.text=new"
    assert "beit3.text_embed.weight" in weights["tensors"]["dropped"]
    assert torch.equal(encoder.cls_token, beit3_state["beit3.vision_embed.cls_token"])


def test_larger_pictures_get_interpolated_positions(shop32, beit3_file, beit3_state, spm, from_golden, tmp_path):
    from_golden["encoder"]["image_size"] = 48
    folder = train(shop32, tmp_path / "encoder", from_golden, weights=beit3_file, text_tokenizer=spm)
    assert record(folder)["weights"]["tensors"]["resized"] == ["beit3.encoder.embed_positions.A.weight"]
    positions = folder.load()[0].vision_positions
    assert positions.shape == (37, 32)
    assert torch.equal(positions[0], beit3_state["beit3.encoder.embed_positions.A.weight"][2])


def test_an_encoders_folder_is_gone_on_from_with_its_tokenizers_and_heads(started, shop32, from_golden, tmp_path):
    del from_golden["encoder"]
    again = train(shop32, tmp_path / "again", from_golden, weights=started.path)
    for name in ("encoder.safetensors", "heads.safetensors"):
        ours, theirs = (read_arrays(folder.path / name) for folder in (again, started))
        for key in theirs:  # a bias of 0 is the only thing that such small steps move
            np.testing.assert_allclose(ours[key], theirs[key], rtol=0, atol=1e-20)
    assert again.description()["tokenizers"] == started.description()["tokenizers"]
    assert again.description()["encoder"] == started.description()["encoder"]
    weights = record(again)["weights"]
    assert (weights["text_embedding"], weights["mlm_head"], weights["mim_head"]) == ("taken", "taken", "taken")
    assert weights["tensors"]["loaded"] == 95
    # its words are surely its own, whatever the losses are
    assert weights["first_losses"]["mlm"] > weights["chance"]["mlm"]
    assert not any("check that the text tokenizer" in line for line in beginning_lines(record(again)))


def test_new_tokens_may_be_made_beside_an_encoders_folder(started, shop32, from_golden, tmp_path):
    from_golden["catalogue"] |= {"text_vocab": 80, "visual_vocab": 8}
    del from_golden["encoder"]
    again = train(shop32, tmp_path / "again", from_golden, weights=started.path, text="new", visual="new")
    assert again.description()["encoder"]["visual_vocab"] == 8
    assert not set(again.description()["tokenizers"].values()) & set(started.description()["tokenizers"].values())


def test_from_nothing_only_the_use_of_the_visual_words_is_told(shop32, from_golden, tmp_path):
    from_golden["encoder"] = {"layers": 1, "width": 16, "heads": 2, "ffn": 16, "image_size": 32}
    folder = train(shop32, tmp_path / "encoder", from_golden)
    assert record(folder)["weights"] is None
    assert [line.partition(":")[0] for line in beginning_lines(record(folder))] == ["visual words"]
