import json
import re

import pytest

from alignrec.artifacts import hash_file
from alignrec.studies import Run

pytest.importorskip("sentencepiece")


def test_the_whole_way_on_a_small_shop(command_line, tmp_path):
    out = tmp_path / "demo"
    words = ("demo", "--out", out, "--items", "60", "--users", "40", "--encoder-steps", "4", "--json")
    done = command_line(*words)
    assert done.code == 0, done.err
    printed = json.loads(done.out)
    assert set(printed["test"]) == {"popularity", "lightgcn", "alignrec", "alignrec-ica"}
    assert {"pixels", "tfidf", "pixels+tfidf", "ica"} == set(printed["probes"]["features"])
    for model in ("lightgcn", "alignrec", "alignrec-ica"):
        assert Run.open(out / model).report()["test"]["recall@20"] == printed["test"][model]["recall@20"]

    page = (out / "index.html").read_text()
    assert page.count("data:image/jpeg;base64,") >= 20 + 5  # two lists of ten and at least five bought items
    assert "no picture" not in page
    titles = re.findall(r'alt="([^"]+)"', page)
    assert len(set(titles)) > 10

    before = {model: hash_file(out / model / "model.safetensors") for model in ("lightgcn", "alignrec")}
    again = command_line(*words)  # nothing is drawn or trained a second time
    assert json.loads(again.out)["test"] == printed["test"]
    assert {model: hash_file(out / model / "model.safetensors") for model in before} == before

    for other in (("--items", "61"), ("--seed", "1")):
        refused = command_line(*words, *other)
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert "is a shop of another size or seed; choose another --out" in refused.err
    assert "holds a run with other settings" in command_line(*words, "--encoder-steps", "5").err
