"""Where a study's numbers come from, and how to get them again: hashes, versions, seeds, and the commands."""

import re
import shlex
from html import escape

import yaml

from alignrec.studies.page.parts import code, folded, notes, table
from alignrec.studies.page.results import DatasetResults
from alignrec.studies.run_folder import RunPlan
from alignrec.studies.study import Study
from alignrec.studies.study_settings import StudySettings

__all__ = ["file_name", "provenance_markup", "reproduction_markup", "study_yaml"]


def provenance_markup(study: Study, results: list[DatasetResults]) -> str:
    """Hashes of datasets and features, and on what the runs were made."""
    lines = [line for each in results for line in _hashes(each)]
    plans = [plan for each in results for row in each.rows for _, plan in each.runs(row)]
    headers = [("dataset", ""), ("what", ""), ("SHA-256", "")]
    seeds = ", ".join(map(str, study.settings.seeds))
    return "\n".join([table("Data", headers, lines), notes([f"Seeds: {seeds}.", *_machines(plans)])])


def _hashes(results: DatasetResults) -> list[list[str]]:
    plans = [plan for row in results.rows for _, plan in results.runs(row)]
    if not plans:
        return [_hash_line(results.name, "no run is finished", "", "")]
    data, about = results.data, plans[0].dataset
    size = f"{data.n_users:,} users, {data.n_items:,} items, {len(data.log):,} interactions" if data else ""
    features = dict.fromkeys(pair for plan in plans for pair in plan.features.items())
    return [
        _hash_line(results.name, f"dataset {about['name']}", size, about["hash"]),
        *(_hash_line(results.name, f"features {name}", "", digest) for name, digest in features),
    ]


def _hash_line(dataset: str, what: str, size: str, digest: str) -> list[str]:
    below = f"<br><small>{escape(size)}</small>" if size else ""
    return [
        f'<th scope="row">{escape(dataset)}</th>',
        f"<td>{escape(what)}{below}</td>",
        f'<td class="hash"><code>{escape(digest)}</code></td>',
    ]


def _machines(plans: list[RunPlan]) -> list[str]:
    """One line where all runs were made alike, else one for each kind with its number of runs."""
    counts: dict[str, int] = {}
    for plan in plans:
        threads = f"{plan.threads} thread{'' if plan.threads == 1 else 's'}"
        text = ", ".join([*(f"{name} {value}" for name, value in plan.versions.items()), plan.device, threads])
        counts[text] = counts.get(text, 0) + 1
    if len(counts) == 1:
        return [f"All runs: {text}." for text in counts]
    return [f"{count} of {len(plans)} runs: {text}." for text, count in counts.items()]


def reproduction_markup(study: Study) -> str:
    """The study's file and command, and the command of every single run."""
    file = file_name(study.settings)
    out = shlex.quote(file.removesuffix(".yaml"))
    command = f"alignrec study compare {shlex.quote(file)} --out {out}"
    said = f"Save this as {file}; folders of datasets are relative to where the command is run:"
    rows = [
        [
            f'<th scope="row" class="label">{escape(entry.row)}</th>',
            f"<td>{escape(entry.dataset)}</td>",
            f'<td class="number">{entry.seed}</td>',
            f"<td>{code(entry.command, what='the command')}</td>",
        ]
        for entry in study.entries
    ]
    headers = [("row", ""), ("dataset", ""), ("seed", "number"), ("command", "")]
    return "\n".join(
        [
            notes(["The whole study; runs that are there already are not made again:"]),
            code(command, what="the command"),
            notes([said]),
            code(study_yaml(study.settings), what="the study's file"),
            folded(f"The commands of its {len(study.entries)} runs", table("Single runs", headers, rows)),
        ]
    )


def study_yaml(settings: StudySettings) -> str:
    """The study as a YAML file that reads back equal; what has its default is left out."""
    content = settings.model_dump(exclude_defaults=True)
    first = ("name", "question", "answer", "datasets")
    ordered = {name: content.pop(name) for name in first if name in content} | content
    return yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)


def file_name(settings: StudySettings) -> str:
    """A name for the study's file: letters, digits, dots, dashes and underscores of its name."""
    return (re.sub(r"[^\w.]+", "-", settings.name).strip("-.") or "study") + ".yaml"
