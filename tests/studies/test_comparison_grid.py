from rich.console import Console

from alignrec.studies.comparison_grid import Cell, ComparisonGrid, marked


def places(*means):
    return [cell.place for cell in marked([Cell(mean, None) for mean in means])]


def test_the_highest_is_best_the_next_second_and_equal_in_print_is_equal():
    assert places(0.1, 0.3, 0.2) == ["", "best", "second"]
    assert places(0.30001, 0.3, 0.2) == ["best", "best", ""]
    assert places(0.3, 0.2, 0.2) == ["best", "second", "second"]
    assert places(0.3) == [""]


def test_figures_that_are_not_there_are_neither_best_nor_second():
    assert places(None, None) == ["", ""]
    assert places(0.3, None) == ["best", ""]


GRID = ComparisonGrid(
    "a_b, test split",
    ("recall@20",),
    (("vbpr [x_1]", 2, (Cell(0.25, 0.01, "best", "†"),)), ("bpr", 1, (Cell(0.2, None, "second"),))),
    ("p < 0.01",),
)


def test_a_terminal_shows_brackets_of_labels_as_they_are():
    console = Console(width=80)
    with console.capture() as capture:
        console.print(GRID.to_terminal())
    assert "vbpr [x_1]" in capture.get()
    assert "0.2500 ± 0.0100†" in capture.get()


def test_a_narrow_terminal_cuts_no_label_short():
    rows = tuple((f"vbpr (reg_weight={value})", 2, (Cell(0.2, None),) * 4) for value in ("0.0001", "0.01"))
    console = Console(width=70)
    with console.capture() as capture:
        console.print(ComparisonGrid("t", ("recall@10", "recall@20", "ndcg@10", "ndcg@20"), rows, ()).to_terminal())
    shown = "".join(line.split("│")[1].strip() for line in capture.get().splitlines() if "│" in line)
    assert shown == "vbpr(reg_weight=0.0001)vbpr(reg_weight=0.01)"


def test_markdown_by_hand():
    lines = GRID.to_markdown().splitlines()
    assert lines[2:4] == ["| model | seeds | recall@20 |", "| --- | ---: | ---: |"]
    assert lines[4:6] == [r"| vbpr \[x\_1\] | 2 | **0.2500** ± 0.0100† |", "| bpr | 1 | <u>0.2000</u> |"]


def test_latex_by_hand():
    lines = [line.strip() for line in GRID.to_latex().splitlines()]
    assert lines[2] == r"\caption{a\_b, test split. p $<$ 0.01}"
    assert lines[3] == r"\begin{tabular}{lrr}"
    assert lines[7:9] == [
        r"vbpr [x\_1] & 2 & \textbf{0.2500} $\pm$ 0.0100$^{\dagger}$ \\",
        r"bpr & 1 & \underline{0.2000} \\",
    ]


def test_latex_has_no_sign_that_a_plain_text_font_lacks():
    rows = (("popularity", None, (Cell(None, None),)), ("λ < 1 – 2", 1, (Cell(0.2, None),)))
    lines = [line.strip() for line in ComparisonGrid("t", ("recall@20",), rows, ()).to_latex().splitlines()]
    assert lines[7:9] == [r"popularity & -- & -- \\", r"λ $<$ 1 -- 2 & 1 & 0.2000 \\"]
