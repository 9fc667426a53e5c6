import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from alignrec.data import ITEM_COLUMNS, Catalogue, Dataset, InteractionLog, ShopSettings, Vocabulary, draw_shop
from alignrec.encoders.image_resizing import ResizeJob
from alignrec.encoders.multiway import MultiwayEncoder
from alignrec.encoders.text_tokens import TextTokenizer
from alignrec.encoders.vector_shards import VectorShards
from alignrec.errors import ArtifactError, DataError, FeatureError, SettingsError
from alignrec.studies import extract_features, extraction, pretrain_encoder, run_extraction

pytest.importorskip("sentencepiece")

SETTINGS = {
    "encoder": {"layers": 1, "width": 16, "heads": 2, "ffn": 32, "image_size": 24},
    "training": {"steps": 2, "round_steps": 2, "batch_size": 8},
    "catalogue": {"visual_vocab": 8, "text_vocab": 120, "max_length": 20},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Read only but for its cache; item 0 has no picture."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    draw_shop(folder, settings=ShopSettings(items=40, users=20, image_size=24))
    Dataset.load(folder).image_path(0).unlink()
    return folder


@pytest.fixture(scope="module")
def trained(shop, tmp_path_factory):
    return pretrain_encoder(shop, out=tmp_path_factory.mktemp("encoders") / "ica", settings=SETTINGS, device="cpu")


def test_a_trained_encoder_describes_every_item(trained, shop):
    table = extract_features(trained.path, Dataset.load(shop), name="ica", settings={"pooling": "cls+bos"})
    assert (table.name, table.modality, table.matrix.shape) == ("ica", "image+text", (40, 32))
    assert table.provenance["extraction"]["pooling"] == "cls+bos"
    assert table.provenance["encoder"] == trained.description()["weights"]
    assert table.provenance["plan"]["seed"] == 0


def test_vectors_of_one_modality_say_so(trained, shop):
    tables = {
        m: extract_features(trained, Dataset.load(shop), name=m, settings={"modality": m}) for m in ("image", "text")
    }
    assert {m: table.modality for m, table in tables.items()} == {"image": "image", "text": "text"}
    assert not np.allclose(tables["image"].matrix, tables["text"].matrix, atol=1e-3)


def test_a_name_that_cannot_be_saved_is_refused_before_the_encoder_is_read(shop, tmp_path):
    with pytest.raises(FeatureError, match="feature name 'a/b' is not usable"):
        extract_features(tmp_path, Dataset.load(shop), name="a/b")


def test_an_unknown_pooling_is_refused(trained, shop):
    with pytest.raises(SettingsError, match=r"extract\.pooling"):
        extract_features(trained, Dataset.load(shop), name="x", settings={"pooling": "max"})


# Broken off and started again

IN_SHARDS = {"shard_items": 16, "batch_size": 8, "post": "center"}


@pytest.fixture
def own_shop(shop, tmp_path):
    """A copy without a cache and without features."""
    return shutil.copytree(shop, tmp_path / "shop", ignore=shutil.ignore_patterns("cache"))


def start_afresh(folder):
    shutil.rmtree(folder / "cache")
    shutil.rmtree(folder / "features")


def run(trained, folder, **others):
    settings = IN_SHARDS | others.pop("settings", {})
    return run_extraction(trained, Dataset.load(folder), name="ica", settings=settings, save=True, **others)


def saved(folder):
    return {path.name: path.read_bytes() for path in (folder / "features").iterdir()}


def cached(folder):
    return sorted(path.name.partition("-")[0] for path in (folder / "cache").iterdir())


class PowerError(Exception):
    pass


def fails_at(patch, owner, name, number):
    """The `number`th call of a method (1 first) raises."""
    calls, method = [], getattr(owner, name)

    def sometimes(*given, **named):
        calls.append(1)
        if len(calls) == number:
            raise PowerError
        return method(*given, **named)

    patch.setattr(owner, name, sometimes)


@pytest.mark.parametrize(
    ("owner", "name", "number", "left"),
    [
        (MultiwayEncoder, "forward", 4, 24),  # in the second shard
        (VectorShards, "write", 3, 8),
        (extraction, "gather", 1, 0),
        (extraction, "save_features", 1, 0),
        (TextTokenizer, "encode", 5, 8),  # in the thread that reads ahead, as the third shard begins
    ],
)
def test_a_run_killed_anywhere_and_started_again_ends_with_the_same_bytes(
    trained, own_shop, monkeypatch, owner, name, number, left
):
    run(trained, own_shop)
    unbroken = saved(own_shop)
    start_afresh(own_shop)
    with monkeypatch.context() as patch:
        fails_at(patch, owner, name, number)
        with pytest.raises(PowerError):
            run(trained, own_shop)
    assert not (own_shop / "features").exists()
    assert run(trained, own_shop).encoded == left
    assert saved(own_shop) == unbroken
    assert cached(own_shop) == ["images", "picture"]


def test_what_another_encoder_or_setting_left_behind_is_not_used(trained, own_shop, monkeypatch):
    with monkeypatch.context() as patch:
        fails_at(patch, VectorShards, "write", 3)
        with pytest.raises(PowerError):
            run(trained, own_shop)
    assert run(trained, own_shop, settings={"pooling": "bos"}).encoded == 40
    Dataset.load(own_shop).image_path(5).unlink()
    assert run(trained, own_shop).encoded == 40


def test_shards_removed_by_another_run_that_was_first_are_one_line(trained, own_shop, monkeypatch):
    read = extraction.encode_missing

    def and_lose(encoder, inputs, settings, shards):
        encoded = read(encoder, inputs, settings, shards)
        shards.remove()
        return encoded

    monkeypatch.setattr(extraction, "encode_missing", and_lose)
    with pytest.raises(ArtifactError, match=r"is not there any more; run the extraction again"):
        run(trained, own_shop)


# Decoding beside encoding


def test_decoded_by_workers_the_table_has_the_same_bytes(trained, own_shop):
    run(trained, own_shop)
    alone = saved(own_shop)
    start_afresh(own_shop)
    run(trained, own_shop, workers=2)
    assert saved(own_shop) == alone


def test_the_first_items_are_encoded_before_the_last_are_decoded(trained, own_shop, monkeypatch):
    """By what each does in turn: with 8 pictures a job, the reader is at most three batches of 8 ahead."""
    events = []
    monkeypatch.setattr("alignrec.encoders.image_cache._CHUNK", 8)

    def noted(owner, name, event):
        method = getattr(owner, name)

        def also(*given, **named):
            events.append(event)
            return method(*given, **named)

        monkeypatch.setattr(owner, name, also)

    noted(MultiwayEncoder, "forward", "encoded")
    noted(ResizeJob, "__init__", "decoding")
    run(trained, own_shop)
    assert (events.count("encoded"), events.count("decoding")) == (5, 5)
    assert events.index("encoded") < len(events) - 1 - events[::-1].index("decoding")


def test_with_the_texts_alone_no_picture_is_decoded(trained, own_shop):
    found = run(trained, own_shop, settings={"modality": "text"})
    assert not list((own_shop / "cache").iterdir())
    assert "pictures" not in found.table.provenance


def test_a_dataset_in_memory_is_refused(trained, shop):
    with pytest.raises(DataError, match="is only in memory; save it first"):
        extract_features(trained, replace(Dataset.load(shop), path=None), name="x")


def test_how_long_it_took_is_told(trained, own_shop):
    found = run(trained, own_shop)
    assert found.encoded == 40
    assert found.items_per_second == pytest.approx(40 / found.seconds)


# Bad input

LONG = "wool " * 20_000
ODD = {
    6: "nul\0inside",
    7: "two\nlines\r\n\tand a tab",
    8: "shoes 👟🏽 👩‍👩‍👧",
    9: "חולצה كتان",
    10: "\0",
    11: "\u202e\u200b",
}


@pytest.fixture
def bad_shop(own_shop):
    """Item 0 has no file, 1 an empty one, 2 half a JPEG, 3 a bomb, 4 no picture; 12 neither picture nor text."""
    data = Dataset.load(own_shop)
    data.image_path(1).write_bytes(b"")
    whole = data.image_path(2).read_bytes()
    data.image_path(2).write_bytes(whole[: len(whole) // 2])
    Image.new("1", (12_000, 9_000)).save(data.image_path(3), "PNG")
    data.image_path(4).write_text("<html>not found</html>")
    rows = data.catalogue.frame.to_dicts()
    rows[5]["title"] = LONG
    for item, text in ODD.items():
        rows[item]["title"] = text
    rows[12] |= dict.fromkeys(["title", "brand", "description", "image"])
    bad = replace(data, catalogue=Catalogue(pl.DataFrame(rows, schema=data.catalogue.schema))).save(
        own_shop.parent / "bad"
    )
    shutil.copytree(own_shop / "images", bad.path / "images")
    return bad.path


def test_bad_pictures_and_texts_are_counted_and_the_run_goes_on(trained, bad_shop):
    table = run(trained, bad_shop, settings={"post": "none"}).table
    assert np.isfinite(table.matrix).all()
    about = table.provenance
    assert about["pictures"] == {"found": 34, "unnamed": 1, "missing": 1, "broken": 4}
    assert about["texts"] == {"found": 39, "empty": 1}
    assert about["nothing_shown"] == 1
    ids = table.item_ids
    assert set(about["examples"]) == set(ids[:5])
    assert about["examples"][ids[3]].endswith(": broken")
    assert about["examples_without_text"] == [ids[12]]
    assert np.allclose(table.matrix[12], np.delete(table.matrix, 12, axis=0).mean(axis=0), atol=1e-5)


def test_of_a_very_long_text_only_the_beginning_reaches_the_tokenizer(trained, bad_shop, monkeypatch):
    lengths, tokenizer = [], trained.load()[1].text
    encode = type(tokenizer._pieces).encode

    def measured(self, texts, **how):
        lengths.extend(map(len, texts))
        return encode(self, texts, **how)

    monkeypatch.setattr(type(tokenizer._pieces), "encode", measured)
    run(trained, bad_shop, settings={"modality": "text"})
    assert len(lengths) == 40
    assert max(lengths) <= 2 * 16 * 20  # twice as much as 20 tokens can hold


def test_an_item_without_any_input_is_no_item_to_learn_spreads_from(trained, bad_shop):
    centred = run(trained, bad_shop, settings={"modality": "text"}).table.matrix
    assert not centred[12].any()


# Memory


def save_catalogue(folder, items):
    """Texts of some 400 characters; every tenth item has a picture, all the same."""
    rng, words = np.random.default_rng(0), np.array(["red", "blue", "shoe", "shirt", "cotton", "winter"])
    ids = [f"i{n}" for n in range(items)]
    texts = [" ".join(words[row]) for row in rng.integers(0, 6, (items, 80))]
    columns = dict.fromkeys(ITEM_COLUMNS, [None] * items) | {"item_id": ids, "title": texts}
    columns["image"] = [None if n % 10 else "one.png" for n in range(items)]
    nothing = np.zeros(0, dtype=np.int32)
    log = InteractionLog(nothing, nothing, nothing.astype(np.int8))
    catalogue = pl.DataFrame(columns, schema=dict(ITEM_COLUMNS))
    Dataset("toy", Vocabulary(("u",), "user"), Vocabulary(tuple(ids), "item"), log, Catalogue(catalogue)).save(folder)
    Image.new("RGB", (24, 24), "red").save(folder / "one.png")


# what is freed goes back to the system, so that what is held can be seen
GIVEN_BACK = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

MEASURED = """
import gc, json, sys
from pathlib import Path
from alignrec.data import Dataset, catalogue
from alignrec.encoders import EncoderFolder, TextTokenizer
from alignrec.encoders.catalogue_inputs import inverse_document_frequency
from alignrec.encoders.vector_shards import VectorShards
from alignrec.studies import extraction

seen, catalogue._BLOCK = [], 500  # rows in memory: as many of the smallest catalogue as of the largest

def own_memory():  # kB that are this process's own; pages of mapped files are the system's, which takes them back
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

def watch(owner, name):
    whole = getattr(owner, name)
    def watched(*given, **named):
        seen.append(own_memory())
        result = whole(*given, **named)
        seen.append(own_memory())
        return result
    setattr(owner, name, watched)

for owner, name in ((TextTokenizer, "encode"), (VectorShards, "write"), (VectorShards, "remove"),
                    (extraction, "gather"), (extraction, "save_features")):
    watch(owner, name)

encoder, growth = EncoderFolder(Path(sys.argv[1])), {}
readers = encoder.load()[1]
for folder in map(Path, sys.argv[2:]):
    data = Dataset.load(folder)
    gc.collect()
    seen[:] = before = [own_memory()]
    settings = {"shard_items": 1024, "batch_size": 64, "post": "whiten"}
    extraction.run_extraction(encoder, data, name="x", settings=settings, save=True)
    inputs = readers.inputs(data)
    inverse_document_frequency(inputs.tokens, readers.text.vocab_size)
    growth[folder.name] = max(*seen, own_memory()) - before[0]
print(json.dumps(growth))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_memory_for_an_item_more_is_its_vector_and_little_else(trained, tmp_path):
    """A text, a square and the tokens of an item are 400, 1728 and 100 bytes; its vector is 64.

    It is 0 to 200 bytes, and on a busy machine up to 350 were seen; holding texts would make it some 550.
    """
    folders = [tmp_path / str(items) for items in (500, 1000, 6000)]  # the first to warm up
    for folder in folders:
        save_catalogue(folder, int(folder.name))
    command = [sys.executable, "-c", MEASURED, *map(str, [trained.path, *folders])]
    done = subprocess.run(command, capture_output=True, check=True, text=True, env=os.environ | GIVEN_BACK)
    growth = json.loads(done.stdout)
    assert (growth["6000"] - growth["1000"]) * 1024 / 5000 < 450, growth
