import json

import numpy as np
import pytest

from alignrec.features import FeatureTable, save_features
from alignrec.probes import probe

SETTINGS = (
    *("encoder.layers=1", "encoder.width=16", "encoder.heads=2", "encoder.ffn=32", "encoder.image_size=24"),
    *("training.steps=2", "training.round_steps=2", "training.batch_size=8"),
    *("catalogue.visual_vocab=8", "catalogue.text_vocab=120", "catalogue.max_length=20"),
)
SMALL = [word for setting in SETTINGS for word in ("--set", setting)]


@pytest.fixture
def dataset(tiny_dataset):
    for seed, name in enumerate(["a", "b"]):
        matrix = np.random.default_rng(seed).standard_normal((12, 3)).astype(np.float32)
        save_features(tiny_dataset.path / "features", FeatureTable(name, "test", tiny_dataset.items.ids, matrix))
    return tiny_dataset


def test_the_table_has_a_row_per_feature_table_and_the_chance_level(command_line, dataset):
    done = command_line("probe", dataset.path, "--features", "a", "--features", "b", "--features", "a+b")
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 100
    rows = [line.split("│")[1].strip() for line in done.out.splitlines() if line.startswith("│")]
    assert rows[:4] == ["a", "b", "a+b", "chance"]
    assert rows[4:] == ["a", "a (any tie)", "b", "b (any tie)", "a+b", "a+b (any tie)", "chance"]


def test_json_is_what_python_gives(command_line, dataset):
    done = command_line("probe", dataset.path, "--features", "a", "--protocol", "item-cf", "-k", "1,3", "--json")
    assert json.loads(done.out) == probe(dataset, ["a"], protocols=["item-cf"], ks=[1, 3]).as_dict()


def test_out_writes_the_same_json(command_line, dataset, tmp_path):
    done = command_line("probe", dataset.path, "--features", "a", "--json", "--out", tmp_path / "probe.json")
    assert json.loads((tmp_path / "probe.json").read_text()) == json.loads(done.out)


def test_the_best_is_named_last_and_by_the_rule_of_python(command_line, dataset):
    done = command_line("probe", dataset.path, "--features", "a", "--features", "b", "-k", "3", "--best")
    best = probe(dataset, ["a", "b"], ks=[3]).best()
    assert done.out.splitlines()[-1] == f"best: {best.name}: {best.reason}"
    assert f"{best.name} minus the others on tiny" in done.out


def test_markdown_and_latex_are_what_python_gives(command_line, dataset):
    report = probe(dataset, ["a", "b"])
    words = ("probe", dataset.path, "--features", "a", "--features", "b")
    assert command_line(*words, "--format", "markdown").out == report.to_markdown()
    assert command_line(*words, "--format", "latex").out == report.to_latex()
    latex = command_line(*words, "--format", "latex", "--best").out
    assert latex == report.to_latex() + f"% best: {report.best().name}: {report.best().reason}\n"


def test_masked_with_an_encoder_from_the_pictures_to_the_table(command_line, tmp_path):
    pytest.importorskip("sentencepiece")
    shop, encoder = tmp_path / "shop", tmp_path / "enc"
    commands = [
        ("data", "shop", "--out", shop, "--items", 30, "--users", 20),
        ("encode", "extract", "tfidf", shop, "--set", "components=4"),
        ("encode", "pretrain", shop, "--out", encoder, *SMALL),
        ("encode", "extract", encoder, shop, "--name", "ica", "--set", "post=center"),
    ]
    for words in commands:
        assert command_line(*words).code == 0
    words = ("probe", shop, "--features", "ica", "--features", "tfidf", "--protocol", "masked", "-k", "5,20")
    options = ("--mask-share", "0.3", "--mask-draws", "2", "--seed", "1", "--json")
    done = command_line(*words, *options, "--encoder", encoder)
    assert (done.code, done.err) == (0, "")
    values = json.loads(done.out)
    assert values["masking"] == {"share": 0.3, "draws": 2}
    assert [(r["protocol"], r["features"]) for r in values["results"]] == [
        (protocol, name) for protocol in ("zero-shot", "vision masked", "text masked") for name in ("ica", "tfidf")
    ]
    assert command_line(*words, *options, "--encoder", encoder).out == done.out
    without = command_line(*words, "--mask-draws", "1")
    assert "features 'ica': masking needs its encoder" in " ".join(without.out.split())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--features", "c"], 1, "no features called 'c' here; there are: a, b"),
        (["--features", "a", "--features", "a"], 2, "give every feature table once"),
        (["--features", "a", "--protocol", "zero"], 2, "unknown protocol 'zero'; allowed: zero-shot, item-cf, masked"),
        (["--features", "a", "--protocol", "masked"], 2, "have modality 'test', which does not say what masking takes"),
        (["--features", "a", "--mask-share", "50"], 2, "setting 'mask.share' cannot be 50.0"),
        (["--features", "a", "--mask-draws", "0"], 2, "setting 'mask.draws' cannot be 0"),
        (["--features", "a", "--encoder", "nowhere"], 2, "only of use to the protocol 'masked'"),
        (["--features", "a", "--json", "--format", "latex"], 2, "print two different things"),
        (["--features", "a", "-k", "ten"], 2, "cannot read --k 'ten'; write whole numbers"),
        (["--features", "a", "-k", "0"], 2, "must be positive whole numbers"),
    ],
)
def test_wrong_use_is_one_line(command_line, dataset, words, code, message):
    done = command_line("probe", dataset.path, *words)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert message in done.err
