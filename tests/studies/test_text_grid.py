import io

from rich.console import Console

from alignrec.studies.text_grid import TextGrid, latex_table, latex_text, markdown_text

GRID = TextGrid("A_b", ("model", "n"), (("x|y", "1 ± 2 ↑"), ("z", "−3 ×")), ("50 % of it",))


def test_markdown_escapes_its_own_signs_and_lists_the_notes():
    lines = GRID.to_markdown().splitlines()
    assert lines[2:6] == ["| model | n |", "| --- | ---: |", r"| x\|y | 1 ± 2 ↑ |", "| z | −3 × |"]
    assert lines[-1] == "- 50 % of it"


def test_latex_has_no_sign_that_breaks_it():
    text = GRID.to_latex()
    assert r"1 $\pm$ 2 $\uparrow$ \\" in text
    assert r"\caption{A\_b. 50 \% of it}" in text


def test_signs_of_both_languages_are_made_plain():
    assert markdown_text(r"a|b*c_d<e[f]\g") == r"a\|b\*c\_d\<e\[f\]\\g"
    assert latex_text("a_b < 1 % †") == r"a\_b $<$ 1 \% $^{\dagger}$"


def test_a_latex_table_leaves_its_cells_as_they_are():
    lines = latex_table("a_b", "lr", ["x", "y"], [[r"\textbf{1}", "2"]]).splitlines()
    assert lines[2:4] == [r"  \caption{a\_b}", r"  \begin{tabular}{lr}"]
    assert lines[5] == r"    x & y \\"
    assert lines[7] == r"    \textbf{1} & 2 \\"


def test_terminal_notes_are_not_squeezed_into_the_table():
    console = Console(file=io.StringIO(), width=80)
    console.print(TextGrid("t", ("a",), (("b",),), ("a note much wider than the table above it",)).to_terminal())
    assert "a note much wider than the table above it\n" in console.file.getvalue()


def test_a_narrow_terminal_cuts_no_word_short():
    console = Console(file=io.StringIO(), width=24)
    console.print(TextGrid("t", ("model", "n"), (("vbpr_with_a_long_name_0.01", "0.2000"),)).to_terminal())
    shown = "".join(line.split("│")[1].strip() for line in console.file.getvalue().splitlines() if "│" in line)
    assert shown == "vbpr_with_a_long_name_0.01"
