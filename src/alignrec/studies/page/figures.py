"""The figures on a study's page: how its rows trained, and how much a setting mattered where only that one differs.

Figures are SVG inside `<img>` data URIs: a browser shows such a picture without running or fetching anything, and the
names inside one cannot meet those of another.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from alignrec.errors import MissingExtraError, UsageError
from alignrec.studies.figures.sensitivity import draw_sensitivity, read_sensitivity
from alignrec.studies.figures.style import house_style
from alignrec.studies.figures.training_curves import draw_training_curves, read_training_curves
from alignrec.studies.page.parts import notes
from alignrec.studies.page.results import DatasetResults
from alignrec.studies.run_folder import Run, RunPlan
from alignrec.studies.run_identity import run_key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figures_markup", "one_setting_apart", "read_figures", "shown_figures", "study_figures"]

_CURVES = 24  # that colours and line styles can tell apart
_SENSITIVITIES = 6  # figures on one dataset
_FEWEST = 3  # values that make a curve, unless the study asked for an axis


def study_figures(results: DatasetResults, metrics: Sequence[str], axes: Sequence[str] = ()) -> dict[str, str]:
    """Title -> SVG for one dataset. `axes` are settings of which two values are a curve already.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    found = {}
    firsts = dict(list(results.first_runs().items())[:_CURVES])
    if firsts:
        seeds = {plan.seed for _, plan in firsts.values()}
        of = f"seed {next(iter(seeds))}" if len(seeds) == 1 else "the first seed of each row"
        left_out = "" if len(firsts) == len(results.first_runs()) else f", the first {_CURVES} rows"
        found[f"Training curves on {results.name}, {of}{left_out}"] = _training_curves(firsts)
    for setting, label, runs in one_setting_apart(results, axes)[:_SENSITIVITIES]:
        numbers = read_sensitivity([run.path for run in runs], setting=setting, metrics=metrics)
        found[f"{setting} of {label} on {results.name}, test split"] = _svg(draw_sensitivity(numbers))
    return found


def _training_curves(firsts: Mapping[str, tuple[Run, RunPlan]]) -> str:
    curves = read_training_curves([run.path for run, _ in firsts.values()], labels=list(firsts))
    shown = curves.filter((curves["part"] == "valid") | (curves["term"] == "total"))
    return _svg(draw_training_curves(shown))


def one_setting_apart(results: DatasetResults, axes: Sequence[str] = ()) -> list[tuple[str, str, list[Run]]]:
    """Setting, label of the first row, and runs of every set of rows that differ in that one number alone."""
    rows = {row: results.runs(row) for row in results.first_runs()}
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row, runs in rows.items():
        for name, value, rest in _numbers(runs[0][1]):
            found.setdefault((name, rest), {})[row] = value
    return [
        (name, next(iter(values)).partition(" (")[0], [run for row in values for run, _ in rows[row]])
        for (name, _), values in found.items()
        if len(set(values.values())) >= (2 if name in axes else _FEWEST)
    ]


def _numbers(plan: RunPlan) -> list[tuple[str, float, str]]:
    """Every setting that is a number: its name, its value, and a key of all that is left of the plan without it."""
    found = []
    for section, keys in plan.settings.items():
        for key, value in keys.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                rest = {**plan.settings, section: {other: each for other, each in keys.items() if other != key}}
                found.append((f"{section}.{key}", float(value), run_key(replace(plan, settings=rest, seed=0))))
    return found


def _svg(figure: "Figure") -> str:
    """Without a ground of its own: the page's shows through, light or dark."""
    stream = io.StringIO()
    with house_style():
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def read_figures(paths: Sequence[Path]) -> dict[str, str]:
    """File name without its ending -> SVG text.

    Raises:
        UsageError: a file that is not there or not an SVG, or two of one name.
    """
    found: dict[str, str] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
            text = ""
        if "<svg" not in text:
            raise UsageError(f"{path} is not an SVG file; give one that 'alignrec study figures' wrote")
        if path.stem in found:
            raise UsageError(f"two figures are called {path.stem}; rename one of the files")
        found[path.stem] = text
    return found


def figures_markup(results: DatasetResults, metrics: Sequence[str], axes: Sequence[str] = ()) -> str:
    """The figures of one dataset; where matplotlib is absent, a line that says so."""
    try:
        return shown_figures(study_figures(results, metrics, axes))
    except MissingExtraError as error:
        return notes([f"No figures: {error}"])


def shown_figures(figures: Mapping[str, str]) -> str:
    """Title -> SVG as markup."""
    if not figures:
        return ""
    items = []
    for title, svg in figures.items():
        uri = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
        items.append(
            f'<figure><img src="{uri}" alt="{escape(title)}"><figcaption>{escape(title)}</figcaption></figure>'
        )
    return '<div class="figures">\n' + "\n".join(items) + "\n</div>"
