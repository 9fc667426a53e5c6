"""A study as one HTML file that stands alone: results, figures, examples, settings, hashes, and how to get them again.

Nothing on the page comes from elsewhere: style, script, figures and pictures are in the file, and a content security
policy in it forbids everything else. The same study gives the same bytes.
"""

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

from alignrec.artifacts import write_bytes
from alignrec.errors import UsageError
from alignrec.studies.page.examples import examples_markup
from alignrec.studies.page.figures import figures_markup, shown_figures
from alignrec.studies.page.parts import anchor, notes, section
from alignrec.studies.page.provenance import provenance_markup, reproduction_markup
from alignrec.studies.page.results import DatasetResults, gather_results
from alignrec.studies.page.row_settings import settings_markup
from alignrec.studies.page.tables import results_markup
from alignrec.studies.study import Study

__all__ = ["PAGE_BYTES", "PICTURE_BYTES", "write_study_page"]

PAGE_BYTES = 5_000_000  # what pictures of items keep a page below, unless figures and text alone are above it
PICTURE_BYTES = 3_000_000  # at most of all pictures together
_CARDS = 500_000  # bytes kept free for what stands around the pictures


def write_study_page(
    study: Study | str | Path,
    out: str | Path,
    *,
    users: int = 3,
    seed: int = 0,
    datasets: Mapping[str, str | Path] | None = None,
    figures: Mapping[str, str] | None = None,
) -> Path:
    """Write `out`/index.html and return its path; a page that is there is replaced.

    Args:
        study: a study, or its folder; cells that failed or were not run yet are shown as that.
        out: folder of the page; other files in it stay.
        users: how many users of each dataset to show recommendations for.
        seed: draws these users.
        datasets: folders of datasets that have moved, by the names that the study gives them.
        figures: SVG texts to show beside the page's own, by title.

    Raises:
        UsageError: `out` is a file, a negative number of users, or a dataset that the study does not have.
        ArtifactError: no study there, or one of its runs is gone or was not evaluated.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{out} is a file; give the folder that the page shall lie in")
    if users < 0:
        raise UsageError(f"users is {users}; give 0 or more")
    opened = study if isinstance(study, Study) else Study.open(study)
    results = gather_results(opened, datasets)
    first = _results(opened, results, figures or {})
    last = {
        "Settings": settings_markup(opened.settings, results),
        "Provenance": provenance_markup(opened, results),
        "How to get the same": reproduction_markup(opened),
    }
    left = PAGE_BYTES - _CARDS - len(_page(opened, first | last).encode())
    examples = _examples(results, users, seed, min(PICTURE_BYTES, left))
    path = folder / "index.html"
    write_bytes(path, _page(opened, first | examples | last).encode())
    return path


def _results(study: Study, results: list[DatasetResults], figures: Mapping[str, str]) -> dict[str, str]:
    settings = study.settings
    axes = [*settings.axes, *(name for row in settings.rows for name in row.axes)]
    found = {
        f"Results on {each.name}": "\n".join(
            [results_markup(each, settings.metrics, settings.baseline), figures_markup(each, settings.metrics, axes)]
        )
        for each in results
    }
    return {**found, "More figures": shown_figures(figures)} if figures else found


def _examples(results: list[DatasetResults], users: int, seed: int, picture_bytes: int) -> dict[str, str]:
    if not users:
        return {}
    budget = max(0, picture_bytes // len(results))
    return {
        f"Examples on {each.name}": examples_markup(each, users=users, seed=seed, budget=budget) for each in results
    }


def _page(study: Study, parts: Mapping[str, str]) -> str:
    style, script = _packaged("page.css"), _packaged("page.js")
    names = {title: f"{number}-{anchor(title)}" for number, title in enumerate(parts, start=1)}
    return Template(_packaged("page.html")).substitute(
        policy=f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}",
        version=escape(version("alignrec")),
        title=escape(study.settings.name),
        style=style,
        opening=_opening(study),
        links="\n".join(f'<a href="#{escape(name)}">{escape(title)}</a>' for title, name in names.items()),
        body="\n".join(section(title, body, name=names[title]) for title, body in parts.items()),
        script=script,
    )


def _opening(study: Study) -> str:
    rows = len({entry.row for entry in study.entries})
    done = sum(entry.run is not None for entry in study.entries)
    counts = [
        f"{rows} row{_s(rows)}",
        f"{len(study.settings.datasets)} dataset{_s(len(study.settings.datasets))}",
        f"{len(study.settings.seeds)} seed{_s(len(study.settings.seeds))}",
    ]
    runs = f"{done} of {len(study.entries)} runs are finished." if done < len(study.entries) else f"{done} runs."
    said = (("question", study.settings.question), ("answer", study.settings.answer))
    texts = "".join(f'<p class="{kind}">{escape(text)}</p>\n' for kind, text in said if text)
    return texts + notes([f"{' × '.join(counts)}: {runs}"])


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _packaged(name: str) -> str:
    return (files("alignrec.studies.page") / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """What a content security policy calls an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
