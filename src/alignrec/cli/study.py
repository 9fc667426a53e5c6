"""`alignrec study`: questions that take more than one run."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from alignrec.cli.output import JsonFlag, print_json
from alignrec.errors import UsageError

__all__ = ["app"]

_COLUMNS = 100  # of a pipe; a terminal has its own

app = typer.Typer(help="Compare runs.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `study` a group of commands although it has only one."""


@app.command("compare")
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of evaluated runs; seeds of one model become one row.")],
    metrics: Annotated[
        str, typer.Option(help="Separated by commas; also coverage@20, novelty@20, gini@20, tail_share@20.")
    ] = "recall@20,ndcg@20",
    split: Annotated[Literal["test", "valid"], typer.Option(help="Which split to compare on.")] = "test",
    baseline: Annotated[
        str | None, typer.Option(help="Row to test the others against, by its label. Default: the best other row.")
    ] = None,
    format_: Annotated[
        Literal["terminal", "markdown", "latex", "csv", "json"], typer.Option("--format", help="Of what is printed.")
    ] = "terminal",
    json: JsonFlag = False,
) -> None:
    """Compare runs: mean and spread over seeds, and which differences are more than chance."""
    from alignrec.studies.compare import compare as compare_runs  # heavy

    if json and format_ not in ("terminal", "json"):
        raise UsageError(f"--json and --format {format_} print two different things; give one of them")
    names = [part.strip() for part in metrics.split(",")]
    found = compare_runs(runs, metrics=names, baseline=baseline, split=split)
    if json or format_ == "json":
        print_json(found.as_dict())
    elif format_ == "terminal":
        from rich.console import Console

        console = Console()
        if not console.is_terminal:
            console.width = max(console.width, _COLUMNS)
        for grid in found.grids():
            console.print(grid.to_terminal())
    else:
        texts = {"markdown": found.to_markdown, "latex": found.to_latex, "csv": found.to_csv}
        typer.echo(texts[format_](), nl=False)
