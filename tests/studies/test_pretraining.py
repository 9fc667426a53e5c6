import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alignrec.artifacts import read_arrays, sole_writer
from alignrec.data import Dataset, InteractionLog, ShopSettings, draw_shop
from alignrec.encoders import EncoderFolder
from alignrec.errors import ArtifactError, DataError, SettingsError
from alignrec.studies import pretrain_encoder
from alignrec.training.encoder import MaskedItems

pytest.importorskip("sentencepiece")

SETTINGS = {
    "encoder": {"layers": 2, "width": 16, "heads": 2, "ffn": 32, "image_size": 24},
    "training": {"steps": 6, "round_steps": 2, "batch_size": 8, "checkpoint_seconds": 0},
    "catalogue": {"visual_vocab": 8, "text_vocab": 120, "max_length": 20},
}


def changed(section, **values):
    return SETTINGS | {section: SETTINGS.get(section, {}) | values}


def train(shop, out, settings=SETTINGS, **others):
    return pretrain_encoder(shop, out=out, settings=settings, device="cpu", **others)


def content(folder):
    """Everything but the seconds."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "timing.jsonl")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Read only but for its cache; item 0 has no picture."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    draw_shop(folder, settings=ShopSettings(items=40, users=20, image_size=24))
    Dataset.load(folder).image_path(0).unlink()
    return folder


@pytest.fixture(scope="module")
def trained(shop, tmp_path_factory):
    return train(shop, tmp_path_factory.mktemp("encoders") / "ica")


def test_the_log_names_the_losses_of_training_and_of_items_held_out(trained):
    lines = [json.loads(line) for line in (trained.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    terms = {"mlm", "mim", "cls_words", "cls_patches"}
    assert all(set(line["loss"]) == terms | {"total"} for line in lines)
    assert all(set(line["valid"]) == terms | {"ica"} for line in lines)
    assert trained.description()["about"]["held_out"] == lines[-1]["valid"]


def test_the_same_seed_gives_the_same_bytes_and_another_other_weights(trained, shop, tmp_path):
    assert content(train(shop, tmp_path / "again").path) == content(trained.path)
    other = train(shop, tmp_path / "other", seed=1)
    assert other.description()["weights"] != trained.description()["weights"]


def test_a_run_killed_in_the_second_round_and_resumed_ends_with_the_same_bytes(trained, shop, tmp_path, monkeypatch):
    class PowerError(Exception):
        pass

    whole = MaskedItems.epoch

    def fails_in_round_two(self, number):
        if number == 2:
            raise PowerError
        return whole(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(MaskedItems, "epoch", fails_in_round_two)
        with pytest.raises(PowerError):
            train(shop, tmp_path / "ica")
    with pytest.raises(ArtifactError, match="no finished encoder"):
        EncoderFolder(tmp_path / "ica").load()
    with pytest.raises(ArtifactError, match="holds an encoder's run; add --resume"):
        train(shop, tmp_path / "ica")
    train(shop, tmp_path / "ica", resume=True)
    assert content(tmp_path / "ica") == content(trained.path)


def test_resuming_what_is_finished_changes_nothing(trained, shop):
    before = content(trained.path)
    assert train(shop, trained.path, resume=True).path == trained.path
    assert content(trained.path) == before


def test_a_checkpoint_that_a_kill_left_in_a_finished_folder_goes(trained, shop, tmp_path):
    finished = Path(shutil.copytree(trained.path, tmp_path / "ica"))
    (finished / "checkpoint").mkdir()
    (finished / "checkpoint" / "state.safetensors").write_bytes(b"weights")
    train(shop, finished, resume=True)
    assert not (finished / "checkpoint").exists()


def test_a_run_goes_on_with_another_pace_of_checkpoints_and_batches_made_in_advance(trained, shop):
    faster = changed("training", checkpoint_seconds=60, prefetch=2)  # neither changes a number
    assert train(shop, trained.path, settings=faster, resume=True).path == trained.path


def test_a_folder_with_other_settings_or_another_seed_is_refused(trained, shop):
    for others in ({"settings": changed("training", lr=0.5)}, {"seed": 3}, {"preset": "small"}):
        with pytest.raises(ArtifactError, match="holds a run with other settings, data or seed"):
            train(shop, trained.path, resume=True, **others)


def test_a_folder_that_another_process_writes_is_refused_before_anything_is_in_it(shop, tmp_path):
    with sole_writer(tmp_path / "ica"), pytest.raises(ArtifactError, match="being written by another process"):
        train(shop, tmp_path / "ica")
    assert not list((tmp_path / "ica").iterdir())


def test_a_folder_of_something_else_is_refused_and_left_alone(shop, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="exists and is not an encoder's folder"):
        train(shop, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainer": {}}, "unknown section 'trainer' of settings; allowed: start, encoder, ica,"),
        (changed("training", stepz=3), "unknown setting 'training.stepz'; did you mean 'steps'"),
        (changed("catalogue", fit="crop"), "setting 'catalogue.fit' cannot be 'crop'"),
        (changed("encoder", visual_vocab=9), "encoder.visual_vocab follows from catalogue.visual_vocab"),
        (changed("encoder", name="x"), "unknown setting 'encoder.name'"),
        (changed("visual", patch_size=4), "visual.patch_size follows from encoder.patch_size; set that instead"),
        (changed("visual", whitten=True), "unknown setting 'visual.whitten'; did you mean 'whiten'"),
        (changed("start", recipe="papers"), "setting 'start.recipe' cannot be 'papers'"),
        (changed("encoder", image_size=8), "encoder.image_size=8 is one patch of encoder.patch_size=8"),
        (changed("encoder", layers=1) | {"ica": {"cls_objective": "aggregate"}}, "layers=1 has no early block"),
        (changed("catalogue", max_length=500), "catalogue.max_length=500 is beyond the encoder's 128 positions"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(shop, tmp_path, settings, message):
    with pytest.raises(SettingsError, match=message):
        train(shop, tmp_path / "ica", settings)
    assert not (tmp_path / "ica").exists()


def test_a_catalogue_without_pictures_leaves_no_folder(tmp_path):
    draw_shop(tmp_path / "shop", settings=ShopSettings(items=30, users=5, pictures=False))
    with pytest.raises(DataError, match="has a readable picture"):
        train(tmp_path / "shop", tmp_path / "ica")
    assert not (tmp_path / "ica").exists()


def test_probes_on_the_way_change_no_weight(trained, shop, tmp_path):
    probed = train(shop, tmp_path / "probed", changed("catalogue", probe_every=2))
    lines = [json.loads(line) for line in (probed.path / "metrics.jsonl").read_text().splitlines()]
    names = {"zero-shot cls recall@20", "zero-shot cls+bos recall@20"}
    assert [names <= set(line["valid"]) for line in lines] == [False, True, False]
    weights, expected = (read_arrays(f.path / "encoder.safetensors") for f in (probed, trained))
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)


def test_a_run_on_texts_alone_probes_vectors_of_texts_alone(shop, tmp_path, monkeypatch):
    from alignrec.studies import pretraining

    asked = []
    whole = pretraining.extract
    monkeypatch.setattr(pretraining, "extract", lambda *args: asked.append(args[2].modality) or whole(*args))
    settings = changed("ica", modalities="text") | {"catalogue": SETTINGS["catalogue"] | {"probe_every": 3}}
    train(shop, tmp_path / "texts", settings)
    assert asked == ["text", "text"]


def test_probes_that_nobody_can_answer_are_refused_before_anything_is_done(shop, tmp_path):
    data = Dataset.load(shop)
    _, first = np.unique(data.log.users, return_index=True)
    lone = InteractionLog(data.log.users[first], data.log.items[first], data.log.splits[first])
    with pytest.raises(DataError, match=r"probe_every=2 probes by users with two different items, and .* none"):
        train(replace(data, log=lone), tmp_path / "out", changed("catalogue", probe_every=2))
    assert not (tmp_path / "out").exists()


def test_the_papers_own_objective_can_be_trained(shop, tmp_path):
    pure = changed("ica", passes="separate", cls_objective="none")
    folder = train(shop, tmp_path / "ica", pure)
    assert set(folder.description()["about"]["held_out"]) == {"ica", "mlm", "mim"}


def test_the_tokenizers_are_recorded_by_their_content(trained):
    readers = trained.load()[1]
    assert trained.description()["tokenizers"] == readers.hashes
    assert len({len(value) for value in readers.hashes.values()} | {64}) == 1


def test_a_run_with_files_goes_on_where_they_are_and_not_with_others(shop32, beit3_file, spm, from_golden, tmp_path):
    def start(weights):
        return from_golden | {"start": {"weights": str(weights), "text_tokenizer": str(spm)}}

    out = tmp_path / "encoder"
    before = content(train(shop32, out, start(beit3_file)).path)
    moved = beit3_file.rename(tmp_path / "moved.pth")
    (out / "encoder.json").unlink()  # as if the power had failed before the last file
    train(shop32, out, start(moved), resume=True)
    after = content(out)
    assert after["encoder.safetensors"] == before["encoder.safetensors"]
    other = torch.load(moved, weights_only=True)
    other["model"]["beit3.vision_embed.cls_token"] += 1
    torch.save(other, moved)
    with pytest.raises(ArtifactError, match="holds a run with other settings, data or seed"):
        train(shop32, out, start(moved), resume=True)
    assert content(out) == after


def test_the_first_losses_draw_nothing_that_training_draws(shop32, beit3_file, spm, from_golden, tmp_path, monkeypatch):
    settings = from_golden | {"start": {"weights": str(beit3_file), "text_tokenizer": str(spm)}}
    settings["training"] = settings["training"] | {"lr": 1e-3}
    whole = train(shop32, tmp_path / "whole", settings)
    monkeypatch.setattr("alignrec.studies.encoder_start._first_losses", lambda *_: {})
    blind = train(shop32, tmp_path / "blind", settings)
    assert blind.description()["weights"] == whole.description()["weights"]
