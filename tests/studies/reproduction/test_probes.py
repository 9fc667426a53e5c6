import numpy as np
import pytest
from datasets import N_ITEMS, small_dataset

from alignrec.features import FeatureTable, save_features
from alignrec.probes import probe
from alignrec.studies.reproduction.features import FeatureSets
from alignrec.studies.reproduction.probes import probed_rows


@pytest.fixture
def data(tmp_path):
    made = small_dataset(tmp_path / "small")
    matrix = np.random.default_rng(0).normal(size=(N_ITEMS, 4)).astype(np.float32)
    save_features(made.path / "features", FeatureTable("image", "image", made.items.ids, matrix))
    return made


def test_figures_are_those_of_the_probes(data):
    found, left_out, remarks = probed_rows(data, FeatureSets(data, {"AlignRec": ("content",)}), ["AlignRec"], 0)
    expected = probe(data, ["content"], protocols=["zero-shot"], ks=[20], seed=0).results[0].recall(20)
    assert found["AlignRec"]["zero-shot recall@20"] == expected
    assert "vision masked recall@20" not in found["AlignRec"]
    assert left_out == {}
    assert "AlignRec: not masked" in remarks[0]


def test_a_picture_and_a_text_table_are_joined_and_masked(data):
    found, left_out, _ = probed_rows(data, FeatureSets(data, {}), ["Amazon", "CLIP"], 0)
    assert {f"{p} recall@{k}" for p in ("vision masked", "text masked", "item-cf") for k in (10, 20, 50)} <= set(
        found["Amazon"]
    )
    assert left_out["CLIP"].startswith("needs CLIP features; the dataset has")


def test_the_tables_of_a_set_are_joined_as_they_are(data):
    matrix = 100 * np.random.default_rng(2).normal(size=(N_ITEMS, 4)).astype(np.float32)
    save_features(data.path / "features", FeatureTable("long", "image", data.items.ids, matrix))
    found, _, _ = probed_rows(data, FeatureSets(data, {"Amazon": ("long", "content")}), ["Amazon"], 0)
    raw, scaled = (probe(data, [name], ks=[10], seed=0) for name in ("raw:long+content", "long+content"))
    figures = [found["Amazon"][f"{name} recall@10"] for name in ("zero-shot", "item-cf")]
    assert figures == [each.recall(10) for each in raw.results] != [each.recall(10) for each in scaled.results]
