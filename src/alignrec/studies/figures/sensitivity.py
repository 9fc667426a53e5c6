"""How much a setting matters: a metric's mean and spread over seeds against the setting's value.

AlignRec, Figures 3 and 6; DREAM, Figures 8 and 9; FETTLE, Figure 8. The runs must differ in that setting and in their
seeds alone, or the curve would show something else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from alignrec.errors import SettingsError, UsageError
from alignrec.evaluation import divide_metrics, sample_std
from alignrec.settings import by_full_name
from alignrec.studies.compare import DEFAULT_COMPARED
from alignrec.studies.figures.style import COLUMN, colour, house_style, marker, panels
from alignrec.studies.run_folder import RunPlan
from alignrec.studies.run_groups import EvaluatedRun, group_runs, read_evaluated
from alignrec.studies.run_identity import run_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_sensitivity", "read_sensitivity"]

_DECADE = 10.0  # values further apart are shown on a logarithmic axis


def read_sensitivity(
    runs: Sequence[str | Path],
    *,
    setting: str,
    metrics: Sequence[str] = DEFAULT_COMPARED,
    split: str = "test",
) -> pl.DataFrame:
    """Metrics of evaluated runs by the value of one setting.

    Args:
        runs: their folders; any number of seeds of each value.
        setting: as `--set` names it, such as `model.cca_weight` or `plugin.fettle.item_weight`; a part of a setting
            with several is named too, such as `model.modality_weights.image`.
        metrics: such as `recall@20`; also figures beyond accuracy, such as `coverage@20`.
        split: `test` or `valid`.

    Returns:
        One row per metric and value, values ascending: setting, value, metric, mean, std (sample standard deviation
        over seeds; null with one seed), seeds (their number).

    Raises:
        UsageError: fewer than two values, runs that differ in anything else, or an unknown metric.
        SettingsError: the runs have no such setting, or it is not a number.
        ArtifactError: a run that is not finished or not evaluated by these metrics.
    """
    names = list(dict.fromkeys(metrics))
    accuracy, beyond = divide_metrics(names)
    evaluated = [read_evaluated(run, split=split, metrics=accuracy, beyond=beyond) for run in runs]
    values = [_value(run, setting) for run in evaluated]
    _refuse_other_differences(evaluated, setting)
    if len(set(values)) < 2:
        there = f"all of them {values[0]:g}" if values else "no runs"
        raise UsageError(f"a curve over {setting} needs runs with at least two values of it; given: {there}")
    rows = []
    for group in group_runs(evaluated):
        value = _value(next(iter(group.runs.values())), setting)
        for name in names:
            numbers = list(group.figures(name).values())
            rows.append((setting, value, name, float(np.mean(numbers)), sample_std(numbers), len(numbers)))
    schema = {"setting": pl.String, "value": pl.Float64, "metric": pl.String, "mean": pl.Float64, "std": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema | {"seeds": pl.Int64}, orient="row")
    return frame.sort(pl.col("metric").replace_strict(names, range(len(names))), "value")


def _value(run: EvaluatedRun, setting: str) -> float:
    section, key, rest = _place(run.plan, setting)
    value: Any = run.plan.settings[section][key]  # Any: whatever a setting holds
    for part in rest:
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError(f"{setting} of {run.path} is {value!r}, which no axis can show; name a setting of numbers")
    return float(value)


def _place(plan: RunPlan, setting: str) -> tuple[str, str, list[str]]:
    """Section, key, and the way to a part of the setting's value."""
    sections = sorted((name for name in plan.settings if setting.startswith(f"{name}.")), key=len)
    section = sections[-1] if sections else ""
    key, *rest = setting.removeprefix(f"{section}.").split(".")
    if not section or key not in plan.settings[section]:
        raise SettingsError(
            f"these runs have no setting {setting!r}; there are: {', '.join(by_full_name(plan.settings))}"
        )
    return section, key, rest


def _refuse_other_differences(runs: Sequence[EvaluatedRun], setting: str) -> None:
    plans = [_without(run.plan, setting) for run in runs]
    for run, plan in zip(runs, plans, strict=True):
        if run_key(plan) != run_key(plans[0]):
            difference = plan.difference(plans[0]) or "the order of features"
            raise UsageError(
                f"{run.path} differs from {runs[0].path} in more than {setting} and the seed: {difference}; "
                "give runs that differ in nothing else"
            )


def _without(plan: RunPlan, setting: str) -> RunPlan:
    section, key, _ = _place(plan, setting)
    settings = {name: dict(keys) for name, keys in plan.settings.items()}
    del settings[section][key]
    return replace(plan, settings=settings, seed=0, device="", threads=1)


def draw_sensitivity(sensitivity: pl.DataFrame) -> "Figure":
    """Draw what `read_sensitivity` gives: a panel and a line a metric, with a bar of one standard deviation either way.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    metrics = sensitivity["metric"].unique(maintain_order=True).to_list()
    with house_style():
        figure, axes = panels(len(metrics), per_row=1, width=COLUMN, height=3.6, share_x=True)
        for place, (panel, metric) in enumerate(zip(axes, metrics, strict=True)):
            points = sensitivity.filter(metric=metric)
            panel.errorbar(
                points["value"],
                points["mean"],
                yerr=points["std"].fill_null(0.0),
                color=colour(place),
                marker=marker(place),
                capsize=2,
                elinewidth=0.8,
            )
            panel.set_ylabel(metric)
        _set_scale(axes[-1], sensitivity["value"].to_numpy())
        axes[-1].set_xlabel(sensitivity["setting"][0])
    return figure


def _set_scale(panel: "Axes", values: "np.ndarray[Any, np.dtype[np.float64]]") -> None:  # Any: of any length
    """Logarithmic where the values span a decade or more; with a zero among them, linear up to the smallest other."""
    positive = values[values > 0]
    if values.min() < 0 or not len(positive) or positive.max() / positive.min() < _DECADE:
        return
    if len(positive) == len(values):
        panel.set_xscale("log")
    else:
        panel.set_xscale("symlog", linthresh=float(positive.min()), linscale=0.5)
