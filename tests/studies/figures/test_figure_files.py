import polars as pl
import pytest

from alignrec.errors import UsageError
from alignrec.studies.figures.figure_files import write_figure
from alignrec.studies.figures.style import house_style, panels

NUMBERS = pl.DataFrame({"epoch": [1, 2], "value": [0.5, 0.25]})


def drawn():
    pytest.importorskip("matplotlib")
    with house_style():
        figure, (axis,) = panels(1, per_row=1, width=8.5, height=5)
        axis.plot(NUMBERS["epoch"], NUMBERS["value"], label="loss")
        axis.legend()
    return figure


def test_picture_vectors_and_numbers_are_written_and_a_second_call_gives_the_same_bytes(tmp_path):
    files = write_figure(drawn(), NUMBERS, tmp_path / "new" / "folder", "loss")
    assert [file.name for file in files] == ["loss.png", "loss.svg", "loss.csv"]
    before = [file.read_bytes() for file in files]
    assert pl.read_csv(files[2]).equals(NUMBERS)
    write_figure(drawn(), NUMBERS, tmp_path / "new" / "folder", "loss")
    assert [file.read_bytes() for file in files] == before
    assert before[0].startswith(b"\x89PNG")
    assert b"<svg" in before[1]


def test_a_figure_that_cannot_be_drawn_leaves_the_old_files_as_they_were(tmp_path):
    files = write_figure(drawn(), NUMBERS, tmp_path, "loss")
    before = [file.read_bytes() for file in files]
    broken = drawn()
    broken.axes[0].set_xlabel("$\\nonsense{$")
    with pytest.raises(ValueError, match="nonsense"):
        write_figure(broken, NUMBERS.head(1), tmp_path, "loss")
    assert [file.read_bytes() for file in files] == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file; give the folder"):
        write_figure(drawn(), NUMBERS, tmp_path / "file", "loss")
    assert (tmp_path / "file").read_text() == "mine"
