"""What a run is told to start from is checked before anything is written: every refusal is one line."""

import json

import pytest
import torch

from alignrec.data import ShopSettings, draw_shop
from alignrec.encoders import PatchKMeans, PatchKMeansSettings
from alignrec.errors import ArtifactError, SettingsError, UsageError
from alignrec.studies import RECIPES, CatalogueSettings, pretrain_encoder
from alignrec.studies.pretraining_plan import make_plan

pytest.importorskip("sentencepiece")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop") / "shop"
    return draw_shop(folder, settings=ShopSettings(items=30, users=5, image_size=32))


@pytest.fixture
def refused(data, tmp_path):
    """Start a run that must fail; returns the line."""

    def run(kind, settings, preset=None):
        before = sorted(path.relative_to(data.path) for path in data.path.rglob("*"))
        with pytest.raises(kind) as caught:
            pretrain_encoder(data, out=tmp_path / "out" / "encoder", preset=preset, settings=settings, device="cpu")
        assert not (tmp_path / "out").exists(), "nothing is written"
        assert sorted(path.relative_to(data.path) for path in data.path.rglob("*")) == before
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run


def start(**values):
    return {"start": {name: str(value) for name, value in values.items()}}


def saved(tmp_path, content, name="x.pth"):
    torch.save(content, tmp_path / name)
    return tmp_path / name


# Recipes and defaults


def test_the_recipe_paper_is_the_published_configuration(data):
    plan = make_plan(data, None, {"start": {"recipe": "paper"}}, 0)
    assert (plan.preset, plan.encoder.layers, plan.encoder.width, plan.encoder.image_size) == ("base", 12, 768, 224)
    assert (plan.ica.passes, plan.ica.cls_objective) == ("separate", "none")
    assert (plan.masking.text_share, plan.masking.image_share, plan.masking.bert_801010) == (0.15, 0.4, False)
    assert plan.masking.modality_dropout == 0
    assert (plan.training.lr, plan.training.batch_size) == (5e-4, 1024)
    assert plan.catalogue.max_length == 128


def test_without_a_recipe_the_defaults_are_those_of_the_sections(data):
    plan = make_plan(data, None, {}, 0)
    assert RECIPES["scratch"] == {}
    assert plan.as_dict() == make_plan(data, "tiny", {"start": {"recipe": "scratch"}}, 0).as_dict()


def test_a_setting_of_the_user_goes_before_the_recipe(data):
    settings = {"start": {"recipe": "paper"}, "training": {"batch_size": 8}, "ica": {"passes": "joint"}}
    plan = make_plan(data, "tiny", settings, 0)
    assert (plan.preset, plan.training.batch_size, plan.training.lr) == ("tiny", 8, 5e-4)
    assert (plan.ica.passes, plan.ica.cls_objective) == ("joint", "none")


@pytest.mark.parametrize(("preset", "words"), [("tiny", 128), ("small", 512), ("base", 8192), ("large", 8192)])
def test_the_most_visual_words_follow_from_the_size(data, preset, words):
    visual = make_plan(data, preset, {"visual": {"whiten": True, "sample_size": 5000}}, 0).visual
    assert (visual.vocab_size, visual.most_words) == (None, words)
    assert (visual.whiten, visual.sample_size) == (True, 5000)


def test_pictures_keep_their_proportions_unless_told_otherwise():
    assert CatalogueSettings().fit == "pad"


# What is recorded


def test_files_are_recorded_by_what_is_in_them(data, beit3_file, spm, vqkd_file, from_golden, tmp_path):
    def recorded(weights, text):
        files = start(weights=weights, text_tokenizer=text, visual_tokenizer=vqkd_file)
        return make_plan(data, None, from_golden | files, 0).as_dict()

    plan = recorded(beit3_file, spm)
    json.dumps(plan, allow_nan=False)
    assert str(tmp_path) not in json.dumps(plan)
    moved = beit3_file.rename(tmp_path / "moved.pth")
    copy = tmp_path / "copy.spm"
    copy.write_bytes(spm.read_bytes())
    assert recorded(moved, copy) == plan
    content = torch.load(moved, weights_only=True)
    content["model"]["beit3.vision_embed.cls_token"] += 1
    torch.save(content, moved)
    assert recorded(moved, copy) != plan


def test_the_shape_is_that_of_the_weights_unless_a_preset_is_named(data, beit3_file, spm, from_golden):
    plan = make_plan(data, None, from_golden | start(weights=beit3_file, text_tokenizer=spm), 0)
    assert (plan.preset, plan.encoder.layers, plan.encoder.width, plan.encoder.text_positions) == (None, 2, 32, 12)


# Weights that are refused


def test_weights_of_another_size_than_the_preset(refused, beit3_file, spm):
    line = refused(UsageError, start(weights=beit3_file, text_tokenizer=spm), preset="tiny")
    assert "beit3_tiny.pth is of an encoder with layers=2, width=32, ffn=64, the one to train has layers=3" in line
    assert "leave out the preset" in line


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"visual.conv1.weight": torch.ones(2), "text_projection": torch.ones(2, 2)}, "text_projection, visual.conv1"),
        ({"patch_embed.proj.weight": torch.ones(4, 3, 8, 8), "cls_token": torch.ones(1, 1, 4)}, "cls_token, patch_emb"),
        ({"a": torch.ones(1)}, "its 1 tensors are such as a;"),
    ],
    ids=["clip", "vit", "random"],
)
def test_a_checkpoint_of_another_architecture(refused, tmp_path, tensors, told):
    line = refused(ArtifactError, start(weights=saved(tmp_path, tensors)))
    assert "x.pth" in line
    assert "so it is not a BEiT-3 checkpoint" in line
    assert told in line
    assert line.endswith("give an official BEiT-3 file or an encoder's folder")


def test_a_checkpoint_that_lacks_a_part_or_has_one_too_many(refused, tmp_path, beit3_state, spm, from_golden):
    del beit3_state["beit3.encoder.layers.1.ffn.A.fc1.weight"]
    beit3_state["gamma"] = torch.ones(1)
    line = refused(ArtifactError, from_golden | start(weights=saved(tmp_path, beit3_state), text_tokenizer=spm))
    assert "1 missing (beit3.encoder.layers.1.ffn.A.fc1.weight); 1 unexpected (gamma); 0 misshaped" in line


def test_a_head_of_another_width(refused, tmp_path, beit3_state, spm, from_golden):
    beit3_state["mim_head.weight"] = torch.ones(48, 31)
    line = refused(ArtifactError, from_golden | start(weights=saved(tmp_path, beit3_state), text_tokenizer=spm))
    assert "mim_head.weight is (48, 31), needed (48, 32)" in line


def test_a_checkpoint_with_nan(refused, tmp_path, beit3_state):
    beit3_state["mlm_head.bias"][0] = torch.nan
    assert "NaN or infinity in 1 tensors, such as mlm_head.bias" in refused(
        ArtifactError, start(weights=saved(tmp_path, beit3_state))
    )


def test_a_file_cut_off(refused, beit3_file):
    beit3_file.write_bytes(beit3_file.read_bytes()[:-1000])
    assert "beit3_tiny.pth is not a readable checkpoint" in refused(ArtifactError, start(weights=beit3_file))


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("option", ["weights", "visual_tokenizer"])
def test_a_pickle_with_code_is_never_executed(refused, tmp_path, beit3_state, option):
    file = saved(tmp_path, {"model": beit3_state, "trap": Trap(tmp_path / "sprung")})
    assert "not a readable checkpoint" in refused(ArtifactError, start(**{option: file}))
    assert not (tmp_path / "sprung").exists()


def test_a_visual_tokenizer_in_the_place_of_the_weights_and_the_other_way_round(refused, vqkd_file, beit3_file):
    assert "is a visual tokenizer (VQ-KD), no encoder" in refused(ArtifactError, start(weights=vqkd_file))
    assert "is not a VQ-KD checkpoint" in refused(ArtifactError, start(visual_tokenizer=beit3_file))


def test_a_folder_without_an_encoder(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no finished encoder in" in refused(ArtifactError, start(weights=tmp_path / "empty"))


def test_texts_longer_than_the_weights_know(refused, beit3_file, spm, from_golden):
    from_golden["encoder"]["text_positions"] = 20
    line = refused(UsageError, from_golden | start(weights=beit3_file, text_tokenizer=spm))
    assert "has positions for texts of 12 tokens, encoder.text_positions is 20; lower it" in line


# Tokenizers that are refused


def test_weights_without_their_text_tokenizer(refused, beit3_file, from_golden):
    line = refused(UsageError, from_golden | start(weights=beit3_file))
    assert "has 100 rows for the words of another tokenizer; pass it as --text-tokenizer beit3.spm" in line
    assert "--set start.text=new" in line


def test_a_text_tokenizer_of_another_vocabulary(refused, beit3_file, large_spm, from_golden):
    line = refused(ArtifactError, from_golden | start(weights=beit3_file, text_tokenizer=large_spm))
    assert "large.spm (152 ids) is not the tokenizer that" in line
    assert "beit3_tiny.pth (100 rows) was trained with" in line


def test_a_file_that_is_no_text_tokenizer(refused, vqkd_file):
    assert "is not a SentencePiece model" in refused(ArtifactError, start(text_tokenizer=vqkd_file))


def test_visual_words_of_other_patches_or_pictures(refused, vqkd_file, tmp_path):
    line = refused(UsageError, start(visual_tokenizer=vqkd_file), preset="base")
    assert "reads patches of 8 pixels, the encoder's have 16" in line
    line = refused(UsageError, start(visual_tokenizer=vqkd_file), preset="tiny")
    assert "reads images of 32 pixels a side, not 48; set encoder.image_size to that" in line
    noise = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    PatchKMeans.fit([noise], PatchKMeansSettings(patch_size=4, vocab_size=4)).save(tmp_path / "words")
    assert "patches of 4 pixels, the encoder's have 8" in refused(
        UsageError, start(visual_tokenizer=tmp_path / "words")
    )


@pytest.mark.parametrize(
    ("section", "option"), [({"text_vocab": 100}, "text_tokenizer"), ({"visual_vocab": 8}, "visual_tokenizer")]
)
def test_a_vocabulary_for_a_tokenizer_that_is_given(refused, spm, vqkd_file, section, option):
    settings = {"encoder": {"image_size": 32}, "catalogue": section}
    file = {"text_tokenizer": spm, "visual_tokenizer": vqkd_file}[option]
    line = refused(SettingsError, settings | start(**{option: file}))
    assert line.startswith(f"catalogue.{next(iter(section))} is for")


def test_settings_of_visual_words_beside_a_tokenizer(refused, vqkd_file):
    settings = {"encoder": {"image_size": 32}, "visual": {"whiten": True}}
    line = refused(SettingsError, settings | start(visual_tokenizer=vqkd_file))
    assert line.startswith("visual is for visual tokens made here, but their tokenizer is given")
