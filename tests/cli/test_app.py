import os
import subprocess
import sys

import pytest


def process(*words):
    return subprocess.run([sys.executable, "-m", "alignrec", *map(str, words)], capture_output=True, text=True)


def test_help_lists_the_commands_in_the_order_of_the_datas_way(command_line):
    lines = command_line("--help").out.split("Commands:")[1].splitlines()
    commands = [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")]
    assert commands == [
        "demo",
        "doctor",
        "data",
        "encode",
        "features",
        "probe",
        "train",
        "evaluate",
        "recommend",
        "similar",
        "study",
    ]


def test_work_that_is_done_exits_with_0(tiny_dataset):
    done = process("data", "describe", tiny_dataset.path, "--json")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1:strict", "utf-8"])
def test_signs_that_the_encoding_lacks_do_not_end_a_command(tiny_dataset, encoding):
    words = [sys.executable, "-m", "alignrec", "data", "describe", tiny_dataset.path]
    done = subprocess.run(words, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    assert ("█".encode() if encoding == "utf-8" else b"????") in done.stdout


def test_an_error_names_a_path_that_the_encoding_lacks(tmp_path):
    name = os.fsdecode(b"caf\xe9-\xe2\x96\x88")
    words = [sys.executable, "-m", "alignrec", "data", "describe", tmp_path / name]
    done = subprocess.run(words, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii:strict"})
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
    assert b"no dataset folder at " in done.stderr


def test_work_that_fails_exits_with_1_and_one_line_without_traceback(tmp_path):
    done = process("data", "describe", tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("alignrec: no dataset folder at ")


def test_wrong_use_found_by_the_library_exits_with_2_and_one_line(command_line, tiny_dataset):
    done = command_line("probe", tiny_dataset.path, "--features", "x", "--protocol", "nonsense")
    assert (done.code, done.out) == (2, "")
    assert done.err == "alignrec: unknown protocol 'nonsense'; allowed: zero-shot, item-cf, masked\n"


@pytest.mark.parametrize("words", [["nonsense"], ["--nonsense"], ["probe"], ["probe", "x", "--nonsense", "1"]])
def test_wrong_use_found_by_the_parser_exits_with_2(command_line, words):
    done = command_line(*words)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_a_mistyped_command_names_the_nearest(command_line):
    assert "'probe'" in command_line("prope").err


def test_what_the_system_refuses_is_one_line_too(command_line, tiny_dataset, tmp_path):
    (tmp_path / "file").write_text("in the way")
    words = ["features", "import", tmp_path / "file" / "x.npy", tiny_dataset.path, "--name", "f"]
    done = command_line(*words)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("error", [MemoryError("no 80 GB"), RuntimeError("CUDA out of memory.\nTried 80 GB")])
def test_too_little_memory_is_one_line_too(command_line, tmp_path, monkeypatch, error):
    def load(_run, _dataset):
        raise error

    monkeypatch.setattr("alignrec.serving.Recommender.load", load)
    done = command_line("recommend", tmp_path, "--user", "x")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith("alignrec: not enough memory: ")


def test_an_error_of_the_program_itself_is_not_hidden(monkeypatch, command_line, tmp_path):
    def load(_run, _dataset):
        raise RuntimeError("a bug")

    monkeypatch.setattr("alignrec.serving.Recommender.load", load)
    with pytest.raises(RuntimeError, match="a bug"):
        command_line("recommend", tmp_path, "--user", "x")


@pytest.mark.parametrize("words", [[], ["data"], ["features"]])
def test_no_command_shows_the_help(command_line, words):
    done = command_line(*words)
    assert "Commands:" in done.out + done.err
