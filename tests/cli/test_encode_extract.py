import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest
from local_hub import local_hub

from alignrec import studies
from alignrec.cli import main
from alignrec.data import Catalogue, Dataset, ShopSettings, draw_shop
from alignrec.encoders import extract_pretrained


@pytest.fixture
def shop(tmp_path):
    draw_shop(tmp_path / "shop", settings=ShopSettings(items=30, users=10, image_size=16))
    return tmp_path / "shop"


def run(monkeypatch, *words):
    """Run the command line; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["alignrec", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_features_are_kept_in_the_dataset(monkeypatch, capsys, shop):
    assert run(monkeypatch, "encode", "extract", "tfidf", shop, "--name", "words", "--set", "components=5") == 0
    assert "words: 30 items x 5, text" in capsys.readouterr().out
    assert Dataset.load(shop).features("words").matrix.shape == (30, 5)


def test_machines_are_told_everything(monkeypatch, capsys, shop):
    assert run(monkeypatch, "encode", "extract", "pixels", shop, "--seed", 2, "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["name"], about["items"], about["provenance"]["seed"]) == ("pixels", 30, 2)
    assert about["hash"] == Dataset.load(shop).features("pixels").content_hash


def test_how_long_it_took_is_printed(monkeypatch, capsys, shop):
    assert run(monkeypatch, "encode", "extract", "tfidf", shop) == 0
    assert re.search(r"^encoded 30 items in \d+\.\d s, \d+\.\d items/s$", capsys.readouterr().out, flags=re.MULTILINE)
    assert run(monkeypatch, "encode", "extract", "tfidf", shop, "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert about["encoded"] == 30
    assert about["items_per_second"] == pytest.approx(30 / about["seconds"])


def test_a_broken_picture_is_reported_and_not_fatal(monkeypatch, capsys, shop):
    Dataset.load(shop).image_path(0).write_bytes(b"")
    assert run(monkeypatch, "encode", "extract", "pixels", shop) == 0
    assert "1 broken" in capsys.readouterr().out


def test_an_unknown_encoder_is_wrong_use(monkeypatch, capsys, shop):
    assert run(monkeypatch, "encode", "extract", "resnet", shop) == 2
    assert capsys.readouterr().err == (
        "alignrec: unknown encoder 'resnet'; built in: pixels, tfidf; a trained one is called by its folder, a Hugging "
        "Face model hf:NAME\n"
    )


def test_a_folder_that_is_no_dataset_fails_in_one_line(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "encode", "extract", "pixels", tmp_path / "nowhere") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_without_an_encoder_fails_in_one_line(monkeypatch, capsys, shop, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, "encode", "extract", tmp_path / "empty", shop) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("encoder", ["tfidf", "."])
def test_a_name_that_cannot_be_saved_is_refused_before_anything_is_read(monkeypatch, capsys, tmp_path, encoder):
    assert run(monkeypatch, "encode", "extract", encoder, tmp_path / "nowhere", "--name", "a/b") == 1
    assert capsys.readouterr().err.startswith("alignrec: feature name 'a/b' is not usable")


# Trained encoders


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("trained")
    draw_shop(folder / "shop", settings=ShopSettings(items=30, users=10, image_size=16))
    settings = {
        "encoder": {"layers": 1, "width": 16, "heads": 2, "ffn": 32, "image_size": 16},
        "training": {"steps": 1, "round_steps": 1, "batch_size": 8},
        "catalogue": {"visual_vocab": 8, "text_vocab": 120, "max_length": 20},
    }
    return studies.pretrain_encoder(folder / "shop", out=folder / "ica", settings=settings, device="cpu").path


def test_a_trained_encoder_names_what_the_catalogue_lacks(monkeypatch, capsys, shop, trained):
    data = Dataset.load(shop)
    data.image_path(0).unlink()
    data.image_path(1).write_bytes(b"")
    rows = data.catalogue.frame.to_dicts()
    rows[0] |= dict.fromkeys(["title", "brand", "description"])
    rows[2] |= dict.fromkeys(["title", "brand", "description"])
    replace(data, catalogue=Catalogue(pl.DataFrame(rows, schema=data.catalogue.schema))).save(shop.parent / "lacking")
    shutil.move(shop / "images", shop.parent / "lacking" / "images")
    assert run(monkeypatch, "encode", "extract", trained, shop.parent / "lacking", "--threads", 1, "--workers", 0) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "ica: 30 items x 16, image+text"
    assert printed[1].startswith("encoded 30 items in ")
    assert printed[2:] == [
        "not found: pictures 1 missing, 1 broken; texts 2 empty",
        "items that have nothing to show (the mean of the others instead): 1",
    ]
    assert run(monkeypatch, "encode", "extract", trained, shop.parent / "lacking", "--json") == 0
    about = json.loads(capsys.readouterr().out)["provenance"]
    ids = data.items.ids
    assert list(about["examples"]) == [ids[0], ids[1]]
    assert about["examples_without_text"] == [ids[0], ids[2]]


def test_what_was_broken_off_goes_on_by_the_same_command(monkeypatch, capsys, shop, trained):
    words = ("encode", "extract", trained, shop, "--set", "shard_items=8", "--json")
    with monkeypatch.context() as patch:
        patch.setattr(
            studies.extraction, "gather", lambda *_: (_ for _ in ()).throw(OSError("no space left on device"))
        )
        assert run(patch, *words) == 1
    assert capsys.readouterr().err == "alignrec: no space left on device\n"
    assert run(monkeypatch, *words) == 0
    assert json.loads(capsys.readouterr().out)["encoded"] == 0
    assert Dataset.load(shop).features("ica").matrix.shape == (30, 16)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--threads", 0, "threads must be between 1 and 1024, not 0"),
        ("--workers", -1, "workers must be 0 .* or more, not -1"),
    ],
)
def test_impossible_numbers_of_threads_and_workers_are_wrong_use(
    monkeypatch, capsys, shop, trained, option, value, message
):
    assert run(monkeypatch, "encode", "extract", trained, shop, option, value) == 2
    assert re.fullmatch(rf"alignrec: {message}\n", capsys.readouterr().err)


# Hugging Face models


@pytest.fixture
def sentence_model(tmp_path):
    pytest.importorskip("transformers")
    import tiny_models

    return tiny_models.sentence_model(tmp_path / "tiny-sentences")


def test_a_hugging_face_model_describes_items_and_gives_the_features_its_name(
    monkeypatch, capsys, shop, sentence_model
):
    assert run(monkeypatch, "encode", "extract", f"hf:{sentence_model}", shop, "--set", "batch_size=7") == 0
    assert "tiny-sentences: 30 items x 16, text" in capsys.readouterr().out
    about = Dataset.load(shop).features("tiny-sentences").provenance
    assert about["settings"]["batch_size"] == 7


def test_a_setting_that_does_not_apply_to_a_hugging_face_model_is_wrong_use(monkeypatch, capsys, shop, sentence_model):
    assert run(monkeypatch, "encode", "extract", f"hf:{sentence_model}", shop, "--set", "what=image") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("alignrec: setting 'hf.what' cannot be 'image' here")


def test_a_hugging_face_model_that_is_nowhere_fails_in_one_line(monkeypatch, capsys, shop):
    pytest.importorskip("transformers")
    assert run(monkeypatch, "encode", "extract", "hf:./nowhere", shop) == 1
    assert capsys.readouterr().err == (
        "alignrec: './nowhere' is not a folder, and no name of the hub; give a model's folder or OWNER/NAME\n"
    )


def from_hub(url, home, *arguments):
    """`alignrec` in a process of its own, for which the hub is at `url`; its names are read when it is imported."""
    environment = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-m", "alignrec", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_model_is_fetched_from_the_hub_once_and_no_code_or_other_format_with_it(tmp_path, shop, sentence_model):
    for unwanted in ("modeling_tiny.py", "pytorch_model.bin", "onnx/model.onnx", "openvino/openvino_model.json"):
        (sentence_model / unwanted).parent.mkdir(exist_ok=True)
        (sentence_model / unwanted).write_bytes(b"something else")
    extract = ("encode", "extract", "hf:team/tiny", shop)
    with local_hub({"team/tiny": sentence_model}) as hub:
        first = from_hub(hub.url, tmp_path / "home", *extract)
        assert (first.returncode, first.stdout.splitlines()[0]) == (0, "tiny: 30 items x 16, text"), first.stderr
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(hub.fetched)
        assert not {"modeling_tiny.py", "pytorch_model.bin", "model.onnx", "openvino_model.json"} & set(hub.fetched)
        unknown = from_hub(hub.url, tmp_path / "home", *extract, "--set", "revision=v9")
        assert unknown.returncode == 1
        assert unknown.stderr == (
            "alignrec: model 'team/tiny' has no revision 'v9' on the hub; leave it out for the main one\n"
        )
    table = Dataset.load(shop).features("tiny")
    assert table.content_hash == extract_pretrained(str(sentence_model), Dataset.load(shop), name="own").content_hash
    again = from_hub(hub.url, tmp_path / "home", *extract, "--name", "again")  # nobody is there any more
    assert again.returncode == 0, again.stderr
    assert Dataset.load(shop).features("again").content_hash == table.content_hash
