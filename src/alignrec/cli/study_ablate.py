"""`alignrec study ablate`: a model beside itself with something taken away, as the papers do it."""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.cli.output import JsonFlag
from alignrec.cli.study_compare import Format, JobsOption, RunsOption, print_study
from alignrec.errors import UsageError

__all__ = ["ablate"]


def ablate(
    name: Annotated[str, typer.Argument(help="alignrec or dream (parts taken away), or fettle (parts added).")],
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    out: Annotated[Path, typer.Option(help="Folder of the study; the same command goes on in it.")],
    features: Annotated[list[str], typer.Option(help="Feature table of the whole; repeat for several.")],
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="image=NAME|text=NAME",
            help="Feature table to use where that modality is taken away; repeat for several. "
            "Without it the variant is left out.",
        ),
    ] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Keep this variant; repeatable. Default: all.")] = None,
    host: Annotated[str, typer.Option(help="Of fettle: the model it is attached to.")] = "freedom",
    seeds: Annotated[str, typer.Option(help="Separated by commas.")] = "0,1,2",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="A setting of all rows; repeatable.")
    ] = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(metavar="SECTION.KEY=[A, B]", help="A setting with several values: a row for each; repeatable."),
    ] = None,
    metrics: Annotated[str, typer.Option(help="Separated by commas.")] = "recall@20,ndcg@20",
    runs: RunsOption = None,
    jobs: JobsOption = 1,
    format_: Format = "terminal",
    json: JsonFlag = False,
) -> None:
    """Train a model whole and without its parts, several seeds each, and say which parts matter.

    All rows are tested against the whole (of fettle: the host alone).
    """
    if json and format_ not in ("terminal", "json"):
        raise UsageError(f"--json and --format {format_} print two different things; give one of them")
    from alignrec.settings import parse_assignments
    from alignrec.studies.ablations import ablation_rows  # heavy
    from alignrec.studies.study import run_study
    from alignrec.studies.study_settings import StudySettings

    lacking: dict[str, list[str]] = {}
    for text in without or []:
        modality, equals, table = text.partition("=")
        if not equals or not table:
            raise UsageError(f"cannot read --without {text!r}; write image=NAME or text=NAME")
        lacking.setdefault(modality, []).append(table)
    rows = ablation_rows(name, features=features, without=lacking, host=host, only=variant)
    settings = StudySettings.create(
        {
            "name": f"ablation of {name}",
            "datasets": {dataset.resolve().name: str(dataset)},
            "rows": [row.model_dump() for row in rows],
            "seeds": _seeds(seeds),
            "settings": _flat(parse_assignments(assignments or [])),
            "axes": _flat(parse_assignments(axis or [])),
            "metrics": [part.strip() for part in metrics.split(",")],
            "baseline": None if axis else rows[0].label,
        }
    )
    print_study(run_study(settings, out, jobs=jobs, runs=runs), "json" if json else format_)


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"cannot read --seeds {text!r}; write whole numbers separated by commas, as in 0,1,2"
        ) from None


def _flat(sections: dict[str, dict[str, object]]) -> dict[str, object]:
    return {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}
