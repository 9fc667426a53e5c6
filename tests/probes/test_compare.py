import json

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from alignrec.data import Dataset, InteractionLog, Vocabulary
from alignrec.errors import FeatureError, UsageError
from alignrec.features import FeatureTable, save_features
from alignrec.probes import probe

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
    made = Dataset("tiny", users, Vocabulary(tuple(ITEMS), "item"), log, catalogue).save(tmp_path / "tiny")
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
    assert table[0] == "| features | R@3 |"
    assert table[-1] == f"| chance | {3 / 9:.4f} |"


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
    with pytest.raises(UsageError, match="unknown protocol 'one-shot'; allowed: zero-shot, item-cf"):
        probe(dataset, ["a"], protocols=["one-shot"])


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_every_table_is_given_once(dataset, names):
    with pytest.raises(UsageError, match="every feature table once"):
        probe(dataset, names)


def test_an_unknown_table_names_the_known_ones(dataset):
    with pytest.raises(FeatureError, match="there are: a, b"):
        probe(dataset, ["c"])
