import json
import sys

import numpy as np
import pytest

from alignrec.cli import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Run `alignrec data ...`; returns exit code, standard output, standard error."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["alignrec", "data", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    rows = [f"{u}\t{i}\t{u + 10 * i}" for u in range(6) for i in range(6)]
    (folder / "toy.inter").write_text("\n".join(["userID\titemID\ttimestamp", *rows]) + "\n")
    np.save(folder / "image_feat.npy", np.ones((6, 4), dtype=np.float16))
    return folder


def test_import_prints_what_is_in_the_dataset(run, source, tmp_path):
    code, out, _ = run("import", "mmrec", source, "--out", tmp_path / "dataset")
    assert code == 0
    assert "24 train / 6 valid / 6 test" in out
    assert "rule mmrec, seed 0" in out


def test_import_and_describe_print_the_same_json(run, source, tmp_path):
    code, imported, _ = run("import", "mmrec", source, "--out", tmp_path / "dataset", "--seed", 3, "--json")
    assert code == 0
    assert json.loads(imported)["splits"] == {"train": 24, "valid": 6, "test": 6}
    assert json.loads(imported)["about"]["seed"] == 3
    assert json.loads(imported)["features"][0]["name"] == "image"
    assert run("describe", tmp_path / "dataset", "--json") == (0, imported, "")


def test_a_last_interaction_that_was_drawn_is_said_to_be(run, tmp_path):
    rows = "".join(f"u{user},i{item},2024-01-{item + 1:02}\n" for user in range(5) for item in range(4))
    (tmp_path / "interactions.csv").write_text(f"user_id,item_id,date\n{rows}")
    said = []
    for name, options in (("drawn", []), ("last", ["--timestamp-column", "date"])):
        words = ["--split", "leave-one-out", "--core", "0", *options, "--out", tmp_path / name]
        code, out, _ = run("import", "tables", tmp_path / "interactions.csv", *words)
        assert code == 0
        said.append("at random, as there are no timestamps" in " ".join(out.replace("│", " ").split()))
    assert said == [True, False]


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        (["--split", "leave-one-out"], [24, 6, 6]),
        (["--split", "ratio", "--valid-share", "0.2", "--test-share", "0.4"], [18, 6, 12]),
        (["--split", "temporal", "--scope", "global"], [28, 4, 4]),
        (["--split", "ratio", "--test-share", "0", "--core", "6"], [30, 6, 0]),
    ],
)
def test_every_split_rule_can_be_chosen_with_its_settings(run, source, tmp_path, options, sizes):
    code, out, err = run("import", "mmrec", source, "--out", tmp_path / "dataset", "--json", *options)
    assert (code, err) == (0, "")
    assert list(json.loads(out)["splits"].values()) == sizes


def test_a_malformed_row_is_one_line_exit_1_and_no_folder(run, source, tmp_path):
    with (source / "toy.inter").open("a") as file:
        file.write("0\tfive\t1\n")
    code, out, err = run("import", "mmrec", source, "--out", tmp_path / "dataset")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "toy.inter line 38 ('five'): itemID is not a whole number" in err
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_skipped_rows_are_counted_and_shown(run, source, tmp_path):
    with (source / "toy.inter").open("a") as file:
        file.write("0\tfive\t1\n")
    code, out, _ = run("import", "mmrec", source, "--out", tmp_path / "dataset", "--on-error", "skip")
    assert code == 0
    assert "1: itemID is not a whole number" in " ".join(out.split())


def test_an_empty_core_is_one_line_exit_1_and_no_folder(run, source, tmp_path):
    code, _, err = run("import", "mmrec", source, "--out", tmp_path / "dataset", "--core", 7)
    assert code == 1
    assert err.startswith("alignrec: the 7-core is empty")
    assert not (tmp_path / "dataset").exists()


def test_an_occupied_folder_is_refused_before_anything_is_read(run, tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine").touch()
    code, _, err = run("import", "mmrec", tmp_path / "nowhere", "--out", tmp_path / "dataset")
    assert code == 1
    assert "dataset already exists" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "mmrec", "--valid-share", "0.2"], "unknown setting 'split mmrec.valid'"),
        (["--valid-share", "0.2"], "add --split ratio or --split temporal"),
        (["--split", "random"], "'random' is not one of"),
        (["--core", "-1"], "Invalid value for '--core'"),
    ],
)
def test_wrong_options_exit_2(run, source, tmp_path, options, message):
    code, _, err = run("import", "mmrec", source, "--out", tmp_path / "dataset", *options)
    assert code == 2
    assert message in " ".join(err.split())


def test_describing_what_is_no_dataset_is_one_line(run, tmp_path):
    code, _, err = run("describe", tmp_path / "nowhere")
    assert (code, err.count("\n")) == (1, 1)
    assert "no dataset folder" in err


def test_help_lists_the_commands_in_the_order_of_the_datas_way(run):
    code, out, _ = run("--help")
    assert code == 0
    assert [line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line] == [
        "import",
        "shop",
        "describe",
    ]


def test_every_source_can_be_imported(run):
    _, out, _ = run("import", "--help")
    assert [line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line] == [
        "mmrec",
        "amazon",
        "tables",
    ]
