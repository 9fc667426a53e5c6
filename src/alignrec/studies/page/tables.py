"""The tables of results on a study's page: means with spread and marks, cells that failed, and every test made."""

from html import escape

from alignrec.evaluation import Significance
from alignrec.studies.compare import ComparisonTable, Contrast
from alignrec.studies.comparison_grid import DIGITS, Cell
from alignrec.studies.page.parts import folded, notes, table
from alignrec.studies.page.results import DatasetResults
from alignrec.studies.study import NOT_RUN, StudyEntry

__all__ = ["results_markup"]


def results_markup(results: DatasetResults, metrics: list[str], baseline: str | None = None) -> str:
    """The comparison on one dataset, below it what failed, and the tests behind the signs."""
    found = results.table
    headers = [("model", ""), ("seeds", "number"), *((name, "number") for name in metrics)]
    grid = found.grid() if found is not None else None
    shown = {label: (seeds, cells) for label, seeds, cells in (grid.rows if grid else ())}
    untrained = found.untrained if found is not None else {}
    rows = [[_label(name), *_line(*shown[name])] for name in untrained if name in shown and name not in results.rows]
    for label in results.rows:
        failed = [entry for entry in results.failures if entry.row == label]
        if label in shown:
            rows.append([_label(label, _left_out(failed)), *_line(*shown[label])])
        else:
            rows.append([_label(label), _number("0", 0.0), _nothing(failed, len(metrics))])
    lines = list(grid.notes) if grid else []
    if baseline is not None and found is not None and found.baseline is None and baseline in results.rows:
        lines.append(f"{baseline}, which the others were to be tested against, has no finished run")
    title = grid.title if grid else results.name
    parts = [table(title, headers, rows, sortable=True), notes(lines), _failures(results.failures, set(shown))]
    if found is not None and found.contrasts:
        parts.append(folded("The tests behind the signs", _tests(found)))
    return "\n".join(part for part in parts if part)


def _label(text: str, below: str = "") -> str:
    more = f'<br><span class="failed">{escape(below)}</span>' if below else ""
    return f'<th scope="row" class="label">{escape(text)}{more}</th>'


def _left_out(failed: list[StudyEntry]) -> str:
    seeds = ", ".join(str(entry.seed) for entry in failed)
    return f"without seed {seeds}" if failed else ""


def _line(seeds: int | None, cells: tuple[Cell, ...]) -> list[str]:
    return [_number("–" if seeds is None else str(seeds), seeds), *(_figure(cell) for cell in cells)]


def _number(text: str, value: float | None) -> str:
    order = "" if value is None else f' data-value="{value!r}"'
    return f'<td class="number"{order}>{escape(text)}</td>'


def _figure(cell: Cell) -> str:
    """Mean with its mark, then spread and sign; sorted by the mean in full precision."""
    if cell.mean is None:
        return _number("–", None)
    tag = {"best": "strong", "second": "u", "": "span"}[cell.place]
    said = {"best": ' title="best of the column"', "second": ' title="second best"', "": ""}[cell.place]
    spread = "" if cell.std is None else f'<span class="spread"> ± {cell.std:.{DIGITS}f}</span>'
    return (
        f'<td class="number" data-value="{cell.mean!r}"><{tag}{said}>{cell.mean:.{DIGITS}f}</{tag}>'
        f"{spread}{cell.sign}</td>"
    )


def _nothing(failed: list[StudyEntry], width: int) -> str:
    """The first error of a row that has no run, across all its figures."""
    errors = list(dict.fromkeys(entry.error or "" for entry in failed))
    state = "" if errors == [NOT_RUN] else "failed: "
    return f'<td class="failed" colspan="{width}">{state}{escape(errors[0])}</td>'


def _failures(failed: list[StudyEntry], shown: set[str]) -> str:
    """Every error that the table does not say: of rows that have other runs, and of rows with several errors."""
    told = dict(reversed([(entry.row, entry.error) for entry in failed if entry.row not in shown]))  # the first of each
    real = [entry for entry in failed if entry.error not in (NOT_RUN, told.get(entry.row))]
    if not real:
        return ""
    items = "\n".join(
        f"<li><strong>{escape(entry.row)}</strong>, seed {entry.seed}: {escape(entry.error or '')}</li>"
        for entry in real
    )
    return f'<p class="failed">Failed:</p>\n<ul class="failures">\n{items}\n</ul>'


def _tests(found: ComparisonTable) -> str:
    headers = [("model", ""), ("against", ""), ("metric", ""), ("difference", "number")]
    headers += [("users, t", "number"), ("users, Wilcoxon", "number"), ("seeds, t", "number")]
    rows = [_test_line(contrast) for contrast in found.contrasts]
    about = notes(
        [
            "p-values, in brackets after Holm's correction over all comparisons of the table. Over users: values "
            "averaged over seeds, paired by user. Over seeds: paired where both ran the same seeds, else Welch's."
        ]
    )
    return table("Tests", headers, rows, sortable=True) + "\n" + about


def _test_line(contrast: Contrast) -> list[str]:
    difference = contrast.tests["users"].difference
    names = "".join(f"<td>{escape(name)}</td>" for name in (contrast.reference, contrast.metric))
    values = [_p(contrast.tests[kind], contrast.corrected[kind]) for kind in ("users", "users_wilcoxon", "seeds")]
    return [_label(contrast.label), names, _number(f"{difference:+.{DIGITS}f}", difference), *values]


def _p(test: Significance, corrected: float | None) -> str:
    if test.p is None:
        return _number("–", None)
    return _number(f"{test.p:.2g} ({'–' if corrected is None else f'{corrected:.2g}'})", test.p)
