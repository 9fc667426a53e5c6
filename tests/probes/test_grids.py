import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from alignrec.probes.grids import Grid, WideGrid, protocol_grids, shown, wide_grid
from alignrec.probes.result import ProbeResult


def result(features, hits, protocol="zero-shot", ks=(1, 2)):
    """10 cases among 20 candidates; `hits` of them first, the others second."""
    ranks = np.where(np.arange(10) < np.atleast_1d(hits)[:, None], 1, 2)
    ranks = ranks if np.ndim(hits) else ranks[0]
    return ProbeResult(protocol, features, ks, np.arange(10), ranks, np.full(10, 20), skipped=1, notes=(protocol,))


ALL = [
    result("a", 3),
    result("b_1", 4),
    result("a", [1, 2], "vision masked"),
    result("a", [3, 3], "text masked"),
    result("a", 6, "item-cf"),
    result("b_1", 5, "item-cf"),
]


def cells(line):
    """Columns that a line of LaTeX fills."""
    spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
    return len(re.split(r"(?<!\\)&", line)) + sum(n - 1 for n in spans)


@pytest.mark.parametrize(("share", "text"), [(0.0231, ".0231"), (1, "1.0000"), (0, ".0000"), (-0.05, "-.0500")])
def test_shares_are_shown_without_the_zero(share, text):
    assert shown(share) == text


def test_the_masked_protocols_are_one_table_beside_nothing_masked():
    masked = next(grid for grid in protocol_grids("d", ALL, {"b_1": "b_1 needs its encoder"}) if "masked" in grid.title)
    assert masked.rows == (
        ("a", "nothing", ".3000", "1.0000"),
        ("", "vision", ".1500 ±.0707", "1.0000 ±.0000"),
        ("", "text", ".3000 ±.0000", "1.0000 ±.0000"),
        ("b_1", "not run", "–", "–"),
        ("chance", "", ".0500", ".1000"),
    )
    assert masked.notes[0].startswith("zero-shot over 10 users, 1 skipped; mean ± standard deviation over 2 draws")
    assert masked.notes[-1] == "b_1 needs its encoder"


def test_a_single_draw_has_no_spread():
    grids = list(protocol_grids("d", [result("a", 3), result("a", [2], "text masked")], {}))
    assert grids[1].rows[1] == ("", "text", ".2000", "1.0000")
    assert "±" not in grids[1].notes[0]


def test_each_recall_stands_with_its_interval():
    first = next(protocol_grids("d", ALL, {}))
    low, high = ALL[0].interval(1)
    assert first.rows[0] == ("a", f".3000 [{shown(low)}, {shown(high)}]", "1.0000 [1.0000, 1.0000]")
    assert first.notes[0] == "10 users, 1 skipped; in brackets the 95 % interval over them (bootstrap)"
    assert first.rows[-1] == ("chance", ".0500", ".1000")


def test_three_list_lengths_fit_into_a_hundred_columns():
    ranks = np.array([1, 1, 15, 15, 40, 40, 99, 99, 99, 99])
    names = ("pixels+tfidf", "a-name-of-twenty-two-c")
    wide = [replace(result(name, 3, ks=(10, 20, 50)), ranks=ranks) for name in names]
    console = Console(width=100)
    with console.capture() as captured:
        console.print(next(protocol_grids("d", wide, {})).to_terminal())
    (line,) = [line for line in captured.get().splitlines() if "a-name-of-twenty-two-c" in line]
    assert re.sub(r"[\d.]+, [\d.]+", "", line) == "│ a-name-of-twenty-two-c │ .2000 [] │ .4000 [] │ .6000 [] │"


def test_markdown_has_a_mark_for_every_column():
    lines = Grid("t", ("x", "y", "z"), (("a", "b", "1"),), ("n",), names=2).to_markdown().splitlines()
    assert lines == ["**t**", "", "| x | y | z |", "| --- | --- | ---: |", "| a | b | 1 |", "", "- n"]


def test_the_wide_table_has_the_papers_order_and_a_gap_where_nothing_was_run():
    wide = wide_grid("t", list(reversed(ALL)), ["a", "b_1"])
    assert wide.groups == ("zero-shot", "vision masked", "text masked", "item-cf")
    assert wide.rows[0] == ("a", pytest.approx((0.3, 1, 0.15, 1, 0.3, 1, 0.6, 1)))
    assert wide.rows[1] == ("b_1", (0.4, 1.0, None, None, None, None, 0.5, 1.0))
    assert wide.rows[2] == ("chance", pytest.approx((0.05, 0.1) * 4))


def test_chance_is_that_of_each_protocols_own_candidates():
    wide = wide_grid("t", [result("a", 3), replace(result("a", 6, "item-cf"), candidates=np.full(10, 40))], ["a"])
    assert wide.rows[-1] == ("chance", pytest.approx((0.05, 0.1, 0.025, 0.05)))


def test_the_highest_figure_of_a_column_is_bold_also_where_two_print_alike():
    rows = (("a", (0.30001, 0.1)), ("b", (0.3, None)), ("chance", (0.9, 0.9)))
    lines = WideGrid("t", ("zero-shot",), (10, 20), rows).to_markdown().splitlines()
    assert lines[2] == "| features | zero-shot R@10 | zero-shot R@20 |"
    assert lines[4:] == ["| a | **.3000** | **.1000** |", "| b | **.3000** | – |", "| chance | .9000 | .9000 |"]


def test_every_line_of_latex_fills_every_column():
    latex = wide_grid("t", ALL, ["a", "b_1"]).to_latex()
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", latex).group(1)
    assert columns == "l" + 8 * "r"
    lines = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert [cells(line) for line in lines] == [9] * 5
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5} \cmidrule(lr){6-7} \cmidrule(lr){8-9}" in latex
    assert r"b\_1 & \textbf{.4000} & \textbf{1.0000} & -- & -- & -- & -- & .5000 & \textbf{1.0000} \\" in latex


def test_latex_opens_and_closes_alike():
    latex = wide_grid("t", ALL, ["a", "b_1"]).to_latex()
    assert re.findall(r"\\begin\{(\w+)\}", latex) == ["table", "tabular"]
    assert re.findall(r"\\end\{(\w+)\}", latex) == ["tabular", "table"]
    bare = latex.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert [latex.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 2, 1]


def test_signs_that_latex_would_read_are_escaped():
    latex = WideGrid(
        "50 % of R&D_1 #2 {x} \\ ~ ^ $", ("zero-shot",), (1,), (("a&b%_c", (0.1,)), ("chance", (0.1,)))
    ).to_latex()
    assert r"\caption{50 \% of R\&D\_1 \#2 \{x\} \textbackslash{} \textasciitilde{} \textasciicircum{} \$}" in latex
    assert r"a\&b\%\_c & \textbf{.1000} \\" in latex
