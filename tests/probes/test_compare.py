import json
import sys

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from alignrec.data import Catalogue, Dataset, InteractionLog, Vocabulary
from alignrec.errors import FeatureError, UsageError
from alignrec.features import FeatureTable, save_features
from alignrec.probes import MaskSettings, probe, zero_shot

ITEMS = [f"i{n}" for n in range(12)]


def feature_table(name, ids=ITEMS, seed=0):
    matrix = np.random.default_rng(seed).standard_normal((len(ids), 3)).astype(np.float32)
    return FeatureTable(name, "test", ids, matrix)


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.choice(12, size=4, replace=False) for _ in range(9)]).astype(np.int32)
    log = InteractionLog(np.repeat(np.arange(9, dtype=np.int32), 4), items, np.zeros(36, dtype=np.int8))
    users = Vocabulary(tuple(f"u{n}" for n in range(9)), "user")
    catalogue = pl.DataFrame({"item_id": ITEMS})
    made = Dataset("tiny", users, Vocabulary(tuple(ITEMS), "item"), log, Catalogue(catalogue)).save(tmp_path / "tiny")
    for seed, name in enumerate(["a", "b"]):
        save_features(made.path / "features", feature_table(name, seed=seed))
    return made


def test_every_table_is_probed_by_every_protocol(dataset):
    report = probe(dataset, ["a", "b", "a+b"], ks=[1, 2])
    assert [(r.protocol, r.features) for r in report.results] == [
        (protocol, name) for protocol in ("zero-shot", "item-cf") for name in ("a", "b", "a+b")
    ]


def test_the_joined_table_differs_from_its_parts(dataset):
    a, joined = probe(dataset, ["a", "a+b"], protocols=["zero-shot"]).results
    assert not np.array_equal(a.ranks, joined.ranks)


def test_a_table_in_memory_is_aligned_by_item_id(dataset):
    ids = [*reversed(ITEMS), "elsewhere"]
    stored = dataset.features("a")
    rows = np.concatenate([stored.matrix[::-1], np.ones((1, 3), dtype=np.float32)])
    shuffled = FeatureTable("memory", "test", ids, rows)
    a, memory = probe(dataset, ["a", shuffled], protocols=["item-cf"]).results
    assert np.array_equal(a.ranks, memory.ranks)


def test_the_markdown_ends_each_table_with_the_chance_level(dataset):
    report = probe(dataset, ["a"], protocols=["zero-shot"], ks=[3])
    table = [line for line in report.to_markdown().splitlines() if line.startswith("|")]
    assert (table[0], table[3]) == ("| features | R@3 |", "| chance | .3333 |")
    assert (table[4], table[-1]) == ("| features | zero-shot R@3 |", "| chance | .3333 |")


def test_the_terminal_table_names_features_and_chance(dataset):
    console = Console(width=80)
    with console.capture() as captured:
        for table in probe(dataset, ["a", "b"], ks=[2]).tables():
            console.print(table)
    text = captured.get()
    assert text.count("chance") == 2
    assert "b (any tie)" in text


def test_the_report_is_json_and_names_what_went_in(dataset):
    report = json.loads(json.dumps(probe(dataset, ["a"], ks=[1]).as_dict()))
    assert report["dataset"] == {"name": "tiny", "hash": dataset.content_hash}
    assert report["features"] == {"a": dataset.features("a").content_hash}
    assert len(report["results"]) == 2


def test_an_unknown_protocol_names_the_known_ones(dataset):
    with pytest.raises(UsageError, match="unknown protocol 'one-shot'; allowed: zero-shot, item-cf, masked"):
        probe(dataset, ["a"], protocols=["one-shot"])


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_every_table_is_given_once(dataset, names):
    with pytest.raises(UsageError, match="every feature table once"):
        probe(dataset, names)


def test_an_unknown_table_names_the_known_ones(dataset):
    with pytest.raises(FeatureError, match="there are: a, b"):
        probe(dataset, ["c"])


def test_masked_brings_along_what_it_is_compared_with(shop):
    report = probe(shop, ["pixels", "pixels+tfidf"], protocols=["masked"], ks=[5], masking=MaskSettings(draws=2))
    assert [(r.protocol, r.features) for r in report.results] == [
        (protocol, name)
        for protocol in ("zero-shot", "vision masked", "text masked")
        for name in ("pixels", "pixels+tfidf")
    ]
    assert (report.masking, report.left_out) == (MaskSettings(draws=2), {})


def test_a_run_repeats_and_the_seed_decides(shop):
    def figures(seed):
        return probe(shop, ["pixels", "pixels+tfidf"], protocols=["masked", "item-cf"], ks=[5], seed=seed).as_dict()

    assert figures(0) == figures(0)
    first, second = (figures(seed)["results"][2] for seed in (0, 1))
    assert first["recall_by_draw"] != second["recall_by_draw"]


def test_all_tables_lose_the_same_items(shop, monkeypatch):
    """The rows that differ from the whole table, seen by the zero-shot protocol."""
    seen = {}

    def spy(table, *words, **options):
        changed = (table.matrix != whole[table.name]).any(axis=1)
        seen.setdefault(table.name, []).append(np.flatnonzero(changed).tolist())
        return zero_shot(table, *words, **options)

    whole = {name: shop.features(name).matrix for name in ("pixels", "pixels+tfidf")}
    monkeypatch.setattr(sys.modules["alignrec.probes.masked"], "zero_shot", spy)
    probe(shop, ["pixels", "pixels+tfidf"], protocols=["masked"], masking=MaskSettings(draws=3))
    assert seen["pixels"][:3] == seen["pixels+tfidf"][:3]
    assert all(15 <= len(items) <= 20 for items in seen["pixels"][:3])  # 20, less those without a picture anyway


def test_unified_features_are_masked_with_their_encoder(shop, trained):
    report = probe(
        shop,
        ["ica", "tfidf"],
        protocols=["masked"],
        encoders=[trained.path],
        masking=MaskSettings(draws=1),
        device="cpu",
    )
    assert report.left_out == {}
    whole, text = report.result("ica", "zero-shot"), report.result("ica", "text masked")
    assert text.ranks.shape == (1, len(whole.cases))
    assert not np.array_equal(text.ranks[0], whole.ranks)


def test_without_their_encoder_unified_features_are_left_out_and_the_others_run(shop, trained):
    report = probe(shop, ["ica", "tfidf"], protocols=["zero-shot", "masked"], masking=MaskSettings(draws=1))
    assert list(report.left_out) == ["ica"]
    assert "masking needs its encoder" in report.left_out["ica"]
    assert [(r.protocol, r.features) for r in report.results][2:] == [
        ("vision masked", "tfidf"),
        ("text masked", "tfidf"),
    ]
    assert report.left_out["ica"] in report.to_markdown()


def test_masking_nothing_but_what_cannot_be_masked_is_an_error(shop, trained):
    with pytest.raises(
        UsageError, match=r"features 'ica': masking needs its encoder .* pass its folder with --encoder"
    ):
        probe(shop, ["ica"], protocols=["masked"])


def test_an_encoder_without_the_masked_protocol_is_an_error(shop, trained):
    with pytest.raises(UsageError, match="only of use to the protocol 'masked'"):
        probe(shop, ["ica"], encoders=[trained.path])


def test_an_encoder_of_other_features_is_an_error(shop, trained):
    with pytest.raises(UsageError, match="made none of the features tfidf"):
        probe(shop, ["tfidf"], protocols=["masked"], encoders=[trained.path])
