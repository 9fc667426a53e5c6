"""`alignrec study cost`: parameters, time of ranking and of training, side by side."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from alignrec.cli.output import JsonFlag, chosen_form, print_json
from alignrec.cli.study_reproduce import print_grids

__all__ = ["cost"]


def cost(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    model: Annotated[list[str], typer.Option(help="Name of a model; repeat to compare. LightGCN is always there.")],
    features: Annotated[
        list[str] | None, typer.Option(help="Feature table for models that need some; repeatable.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Training steps that are timed in each repeat.")] = 10,
    repeats: Annotated[int, typer.Option(help="Of which medians are taken.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
    format_: Annotated[
        Literal["terminal", "markdown", "latex", "json"], typer.Option("--format", help="Of what is printed.")
    ] = "terminal",
    json: JsonFlag = False,
) -> None:
    """Measure trained parameters, the time to rank all users, and CPU time of a training epoch, in turns."""
    form = chosen_form(format_, json)
    from alignrec.artifacts import write_json
    from alignrec.data import Dataset
    from alignrec.studies.cost import measure_costs

    found = measure_costs(Dataset.load(dataset), model, features=features or (), steps=steps, repeats=repeats)
    if out is not None:
        write_json(out, found.as_dict())
    if form == "json":
        print_json(found.as_dict())
    else:
        print_grids([found.grid()], form)
