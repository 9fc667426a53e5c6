import json

import numpy as np
import pytest

from alignrec.features import FeatureTable, save_features
from alignrec.probes import probe


@pytest.fixture
def dataset(tiny_dataset):
    for seed, name in enumerate(["a", "b"]):
        matrix = np.random.default_rng(seed).standard_normal((12, 3)).astype(np.float32)
        save_features(tiny_dataset.path / "features", FeatureTable(name, "test", tiny_dataset.items.ids, matrix))
    return tiny_dataset


def test_the_table_has_a_row_per_feature_table_and_the_chance_level(command_line, dataset):
    done = command_line("probe", dataset.path, "--features", "a", "--features", "b", "--features", "a+b")
    assert (done.code, done.err) == (0, "")
    rows = [line.split("│")[1].strip() for line in done.out.splitlines() if line.startswith("│")]
    assert rows[:4] == ["a", "b", "a+b", "chance"]
    assert rows[4:] == ["a", "a (any tie)", "b", "b (any tie)", "a+b", "a+b (any tie)", "chance"]


def test_json_is_what_python_gives(command_line, dataset):
    done = command_line("probe", dataset.path, "--features", "a", "--protocol", "item-cf", "-k", "1,3", "--json")
    assert json.loads(done.out) == probe(dataset, ["a"], protocols=["item-cf"], ks=[1, 3]).as_dict()


def test_out_writes_the_same_json(command_line, dataset, tmp_path):
    done = command_line("probe", dataset.path, "--features", "a", "--json", "--out", tmp_path / "probe.json")
    assert json.loads((tmp_path / "probe.json").read_text()) == json.loads(done.out)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--features", "c"], 1, "no features called 'c' here; there are: a, b"),
        (["--features", "a", "--features", "a"], 2, "give every feature table once"),
        (["--features", "a", "--protocol", "zero"], 2, "unknown protocol 'zero'; allowed: zero-shot, item-cf"),
        (["--features", "a", "-k", "ten"], 2, "'ten' are not whole numbers"),
        (["--features", "a", "-k", "0"], 2, "must be positive whole numbers"),
    ],
)
def test_wrong_use_is_one_line(command_line, dataset, words, code, message):
    done = command_line("probe", dataset.path, *words)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert message in done.err
