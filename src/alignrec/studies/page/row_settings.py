"""The settings of a study's rows on its page: first what sets them apart, then all of them."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from alignrec.settings import by_full_name
from alignrec.studies.page.parts import folded, notes, table
from alignrec.studies.page.results import DatasetResults
from alignrec.studies.run_folder import RunPlan
from alignrec.studies.study_settings import RowSettings, StudySettings

__all__ = ["differing_settings", "settings_markup"]

Flat = dict[str, Any]  # Any: values of settings, by their full names


def settings_markup(settings: StudySettings, results: list[DatasetResults]) -> str:
    """A table of what differs, and every row's settings to unfold."""
    rows = dict(settings.expanded())
    plans = _plans(results)
    apart = differing_settings({row: plans[row] for row in rows if row in plans})
    lines = []
    for label, row in rows.items():
        # a row without a run has no resolved settings: what the study asked for is all there is to show
        values = apart.get(label, row.settings)
        cells = [row.model, _features(row), ", ".join(row.plugins) or "–"]
        chips = " ".join(
            f'<code class="chip">{escape(name)}={escape(_text(value))}</code>' for name, value in values.items()
        )
        about = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        lines.append([f'<th scope="row" class="label">{escape(label)}</th>', about, f"<td>{chips or '–'}</td>"])
    headers = [("row", ""), ("model", ""), ("features", ""), ("plug-ins", ""), ("what sets it apart", "")]
    said = notes(
        [
            "Set apart: a setting in which a row differs from another of the same model or plug-in, and a setting of "
            "training in which it differs from any other row."
        ]
    )
    return "\n".join([table("Rows", headers, lines), said, *(_whole(label, row, plans) for label, row in rows.items())])


def differing_settings(plans: Mapping[str, RunPlan]) -> dict[str, Flat]:
    """Row -> those of its settings in which rows that have them differ; `model.` settings among rows of one model."""
    flat = {row: by_full_name(plan.settings) for row, plan in plans.items()}
    found = {}
    for row, mine in flat.items():
        others = {
            name: [
                flat[other][name] for other in flat if name in flat[other] and _alike(name, plans[row], plans[other])
            ]
            for name in mine
        }
        found[row] = {name: value for name, value in mine.items() if any(value != each for each in others[name])}
    return found


def _alike(name: str, first: RunPlan, second: RunPlan) -> bool:
    return not name.startswith("model.") or first.model == second.model


def _plans(results: list[DatasetResults]) -> dict[str, RunPlan]:
    """Row -> the plan of a finished run on the first dataset that has one; settings are the same on all."""
    found: dict[str, RunPlan] = {}
    for each in results:
        for row, (_, plan) in each.first_runs().items():
            found.setdefault(row, plan)
    return found


def _features(row: RowSettings) -> str:
    if isinstance(row.features, list):
        return ", ".join(row.features) or "–"
    return "; ".join(f"{dataset}: {', '.join(names)}" for dataset, names in row.features.items())


def _whole(label: str, row: RowSettings, plans: Mapping[str, RunPlan]) -> str:
    if label not in plans:
        values = "".join(f"<li><code>{escape(n)}={escape(_text(v))}</code></li>" for n, v in row.settings.items())
        said = notes(["No run is finished; the study sets this, the rest are defaults:"])
        return folded(f"All settings of {label}", f"{said}\n<ul>{values}</ul>")
    lines = [
        [f'<th scope="row"><code>{escape(name)}</code></th>', f"<td><code>{escape(_text(value))}</code></td>"]
        for name, value in by_full_name(plans[label].settings).items()
    ]
    return folded(f"All settings of {label}", table(f"Settings of {label}", [("setting", ""), ("value", "")], lines))


def _text(value: Any) -> str:  # Any: a setting's value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
