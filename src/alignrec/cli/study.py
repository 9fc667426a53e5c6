"""`alignrec study`: questions that take more than one run."""

import typer

from alignrec.cli import (
    study_ablate,
    study_compare,
    study_cost,
    study_figures,
    study_page,
    study_reproduce,
    study_segments,
    study_tune,
)

__all__ = ["app"]

app = typer.Typer(help="Compare, ablate, tune and reproduce.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `study` a group of commands, however many it has."""


app.command("compare")(study_compare.compare)
app.command("ablate")(study_ablate.ablate)
app.command("tune")(study_tune.tune)
app.add_typer(study_figures.app, name="figures")
app.command("page")(study_page.page)
app.command("segments")(study_segments.segments)
app.command("cost")(study_cost.cost)
app.command("reproduce")(study_reproduce.reproduce)
