import json
from dataclasses import replace

import pytest

from alignrec.studies.reproduction.published import PublishedFigure, published_table
from alignrec.studies.reproduction.result import ReproducedCell, ReproducedRow, ReproducedTable, Reproduction


def cell(ours, std, published=0.05, published_std=None, column="recall@20"):
    return ReproducedCell(column, ours, std, PublishedFigure(published, published_std))


def table(*rows, differences=(), left_out=None):
    published = published_table("cikm24", "table2")
    return ReproducedTable(published, "Baby", "baby: 30 users", tuple(differences), rows, left_out or {})


def test_sigma_joins_our_spread_and_theirs():
    assert cell(0.051, 0.0003, published_std=0.0004).sigma == pytest.approx(0.0005)
    assert cell(0.051, 0.0003).sigma == 0.0003
    assert cell(0.051, None, published_std=0.0004).sigma is None


@pytest.mark.parametrize(
    ("ours", "std", "mark"),
    [(0.0529, 0.001, "="), (0.0471, 0.001, "="), (0.0532, 0.001, "↑"), (0.0468, 0.001, "↓"), (0.0532, None, "")],
)
def test_a_difference_beyond_three_sigma_is_marked(ours, std, mark):
    assert cell(ours, std).mark == mark


def test_half_of_the_last_printed_digit_is_no_difference():
    assert cell(0.05004, 0.0).mark == "="
    assert cell(0.05006, 0.0).mark == "↑"


def test_nothing_is_marked_where_the_data_are_not_the_papers():
    row = ReproducedRow("BPR", (cell(0.0501, 0.001),), seeds=3)
    assert table(row).mark(row, row.cells[0]) == "="
    assert table(row, differences=["users 30"]).mark(row, row.cells[0]) == ""
    other = replace(row, difference="features a (4)")
    assert table(other).mark(other, other.cells[0]) == ""


def test_other_data_are_named_and_the_difference_is_not_blamed_on_anybody():
    row = ReproducedRow("VBPR", (cell(0.04, None),), seeds=1, features=("a",), difference="features a (4)")
    notes = table(row, differences=["users 30 (published 19,445)"]).notes()
    expected = "not the same data: users 30 (published 19,445); VBPR: features a (4); "
    assert expected + "the difference is not a reproduction error" in notes
    assert "features a: VBPR" in notes


def test_equal_data_are_not_called_different():
    row = ReproducedRow("MGCN", (cell(0.0501, 0.001),), seeds=3)
    assert not any("not the same data" in note for note in table(row).notes())


def test_one_seed_says_that_its_spread_is_not_known():
    one = ReproducedRow("MGCN", (cell(0.05, None),), seeds=1)
    assert any(note.startswith("one seed: its spread is not known") for note in table(one).notes())
    two = ReproducedRow("MGCN", (cell(0.05, 0.001),), seeds=2)
    assert not any("one seed" in note for note in table(two).notes())


def test_rows_left_out_for_one_reason_share_a_line():
    row = ReproducedRow("MGCN", (cell(0.05, None),), seeds=1)
    notes = table(row, left_out={"BM3": "no features", "VBPR": "no features"}).notes()
    assert "left out: BM3, VBPR: no features" in notes


def test_what_other_papers_print_for_the_same_cell_is_named():
    published = published_table("cikm24", "table2").figure("Baby", "BPR", "recall@20")
    row = ReproducedRow("BPR", (ReproducedCell("recall@20", 0.05, None, published),), seeds=1)
    assert "FETTLE prints other numbers of BPR: recall@20 0.0595" in table(row).notes()


def test_every_form_holds_every_figure():
    rows = [ReproducedRow("BPR", (cell(0.0501, 0.001), cell(0.02, 0.001, column="ndcg@20")), seeds=2)]
    found = Reproduction("cikm24/table2", (table(*rows),))
    assert "| BPR | 2 | recall@20 | 0.0501 ± 0.0010 | 0.0500 | +0.0001 = |" in found.to_markdown()
    assert r"BPR & 2 & recall@20 & 0.0501 $\pm$ 0.0010 & 0.0500 & +0.0001 = \\" in found.to_latex()
    assert len(found.to_csv().splitlines()) == 3
    values = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert values["tables"][0]["figures"][1]["difference"] == pytest.approx(-0.03)
    assert values["tables"][0]["figures"][0]["same_data"] is True
