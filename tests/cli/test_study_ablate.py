import json

from datasets import small_dataset


def test_the_whole_and_the_variant_asked_for_are_run_and_tested_against_each_other(command_line, tmp_path):
    data = small_dataset(tmp_path / "small").path
    done = command_line(
        "study", "ablate", "alignrec", data, "--out", tmp_path / "out", "--features", "content", "--seeds", "0",
        "--variant", "w/o UIA", "--set", "training.epochs=1", "--metrics", "recall@5", "--jobs", 2, "--json",
    )  # fmt: skip
    table = json.loads(done.out)["tables"][0]
    assert [row["label"] for row in table["rows"]] == ["AlignRec", "w/o UIA"]
    assert [(c["label"], c["reference"]) for c in table["contrasts"]] == [("w/o UIA", "AlignRec")]


def test_wrong_words_are_refused_before_anything_is_trained(command_line, tmp_path):
    common = ("study", "ablate", "alignrec", tmp_path / "small", "--out", tmp_path / "out", "--features", "f")
    for words, message in (
        (("--without", "image"), "write image=NAME or text=NAME"),
        (("--seeds", "a"), "cannot read --seeds 'a'"),
        (("--variant", "w/o Sense"), "no variant 'w/o Sense'"),
    ):
        done = command_line(*common, *words)
        assert (done.code, done.out) == (2, "")
        assert message in done.err
    assert not (tmp_path / "out").exists()
