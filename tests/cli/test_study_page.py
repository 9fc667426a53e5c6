import json

import pytest


def test_writes_the_page_and_says_where(command_line, page_study, tmp_path):
    done = command_line("study", "page", page_study.path, "--out", tmp_path / "page", "--users", 1, "--seed", 4)
    page = tmp_path / "page" / "index.html"
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{page} ({page.stat().st_size / 1e6:.1f} MB)\n"
    assert "1 user, drawn with seed 4" in page.read_text("utf-8")
    again = command_line(
        "study", "page", page_study.path, "--out", tmp_path / "page", "--users", 1, "--seed", 4, "--json"
    )
    assert json.loads(again.out) == {"page": str(page), "bytes": page.stat().st_size}


def test_a_figure_of_ones_own_is_shown(command_line, page_study, tmp_path):
    (tmp_path / "long-tail.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    words = ("study", "page", page_study.path, "--out", tmp_path / "page", "--users", 0)
    assert command_line(*words, "--figure", tmp_path / "long-tail.svg").code == 0
    assert "<figcaption>long-tail</figcaption>" in (tmp_path / "page" / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dataset", "d"], "write NAME=FOLDER"),
        (["--dataset", "x=folder"], "the study has no dataset 'x'; there are: d"),
        (["--figure", "gone.svg"], "gone.svg is not an SVG file"),
    ],
)
def test_wrong_use_is_one_line(command_line, page_study, tmp_path, words, said):
    done = command_line("study", "page", page_study.path, "--out", tmp_path / "page", *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err
    assert not (tmp_path / "page").exists()


def test_a_folder_that_is_no_study_names_the_command_that_makes_one(command_line, tmp_path):
    done = command_line("study", "page", tmp_path, "--out", tmp_path / "page")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "alignrec study compare STUDY.yaml" in done.err
