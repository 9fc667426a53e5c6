"""`alignrec study ablate`: a model beside itself with something taken away, as the papers do it."""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.cli.lists import whole_numbers, words
from alignrec.cli.output import JsonFlag, chosen_form
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
    form = chosen_form(format_, json)
    from alignrec.settings import by_full_name, parse_assignments
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
            "seeds": whole_numbers(seeds, "--seeds"),
            "settings": by_full_name(parse_assignments(assignments or [])),
            "axes": by_full_name(parse_assignments(axis or [])),
            "metrics": words(metrics),
            "baseline": None if axis else rows[0].label,
        }
    )
    print_study(run_study(settings, out, jobs=jobs, runs=runs), form)
