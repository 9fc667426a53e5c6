import re
from dataclasses import replace

from page_study import with_failures

from alignrec.studies.page.results import gather_results
from alignrec.studies.page.tables import results_markup

METRICS = ["recall@5", "ndcg@5", "coverage@20"]


def lines_of(markup):
    """Rows of the first table, as lists of the markup of their cells."""
    body = re.search(r"<tbody>(.*?)</tbody>", markup, re.DOTALL).group(1)
    return [re.findall(r"<t[hd].*?</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)]


def text_of(cell):
    return re.sub(r"<[^>]*>", "", cell)


def test_figures_are_those_of_the_comparison_in_print_and_in_full(page_study):
    (results,) = gather_results(page_study)
    lines = lines_of(results_markup(results, METRICS))
    grid = results.table.grid()
    assert len(lines) == len(grid.rows) == 4
    for line, (_, _, cells) in zip(lines, grid.rows, strict=True):
        for shown, cell in zip(line[2:], cells, strict=True):
            spread = "" if cell.std is None else f" ± {cell.std:.4f}"
            assert text_of(shown) == f"{cell.mean:.4f}{spread}{cell.sign}"
            assert float(re.search(r'data-value="([^"]+)"', shown).group(1)) == cell.mean


def test_the_best_is_bold_and_the_second_underlined(page_study):
    (results,) = gather_results(page_study)
    lines = lines_of(results_markup(results, METRICS))
    for column, name in enumerate(METRICS[:2], start=2):
        means = {float(re.search(r'data-value="([^"]+)"', line[column]).group(1)): line[column] for line in lines}
        best, second, *rest = [means[mean] for mean in sorted(means, reverse=True)]
        assert "<strong" in best, name
        assert "<u " in second, name
        assert not any("<strong" in cell or "<u " in cell for cell in rest)


def test_a_row_without_a_run_says_why_and_the_others_keep_their_figures(page_study):
    whole = lines_of(results_markup(gather_results(page_study)[0], METRICS))
    lines = lines_of(results_markup(gather_results(with_failures(page_study))[0], METRICS))
    assert text_of(lines[-1][2]) == "failed: the loss is &lt;b&gt;NaN&lt;/b&gt;; train with a lower lr"
    assert [text_of(line[3]) for line in lines[2:4]] == [text_of(line[3]) for line in whole[2:]]


def test_a_seed_that_failed_is_named_in_its_row_and_below(page_study):
    markup = results_markup(gather_results(with_failures(page_study))[0], METRICS)
    flat = lines_of(markup)[1]
    assert (text_of(flat[0]), text_of(flat[1])) == ("&lt;u&gt;flat&lt;/u&gt;without seed 1", "1")
    assert re.findall(r"<li>(.*?)</li>", markup) == [
        "<strong>&lt;u&gt;flat&lt;/u&gt;</strong>, seed 1: out of memory"
    ]  # what the table says already is not said again


def test_what_was_not_run_yet_has_not_failed(page_study):
    waiting = tuple(replace(entry, run=None, error="not run yet") for entry in page_study.entries)
    markup = results_markup(gather_results(replace(page_study, entries=waiting))[0], METRICS)
    assert [text_of(line[2]) for line in lines_of(markup)] == ["not run yet"] * 3
    assert "failed:" not in markup.lower()


def test_every_test_stands_behind_its_sign(page_study):
    (results,) = gather_results(page_study)
    markup = results_markup(results, METRICS).partition("The tests behind the signs")[2]
    lines = lines_of(markup)
    assert len(lines) == len(results.table.contrasts)
    for line, contrast in zip(lines, results.table.contrasts, strict=True):
        p, corrected = contrast.tests["users"].p, contrast.corrected["users"]
        assert text_of(line[4]) == f"{p:.2g} ({corrected:.2g})"


def test_a_baseline_without_a_run_is_said(page_study):
    markup = results_markup(gather_results(with_failures(page_study))[0], METRICS, "broken")
    assert "broken, which the others were to be tested against, has no finished run" in markup
