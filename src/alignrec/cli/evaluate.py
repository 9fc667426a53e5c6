"""`alignrec evaluate`: opens the test split of a finished run."""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.cli.output import JsonFlag, print_json

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    metric: Annotated[
        list[str] | None, typer.Option(help="As recall@20; repeatable. Default: all at 5, 10, 20 and 50.")
    ] = None,
    dataset: Annotated[Path | None, typer.Option(help="Dataset folder, if it has moved.")] = None,
    json: JsonFlag = False,
) -> None:
    """Measure a run on the validation and test splits, beside popularity."""
    from rich.console import Console
    from rich.table import Table

    from alignrec import studies  # heavy
    from alignrec.evaluation import DEFAULT_METRICS

    reports = studies.evaluate(run, metrics=tuple(metric or DEFAULT_METRICS), dataset=dataset)
    rows = {
        f"{split} {name}": report.means
        for name, group in (("model", reports.model), ("popularity", reports.popularity))
        for split, report in group.items()
    }
    if json:
        print_json({"run": str(run), **{row: dict(means) for row, means in rows.items()}})
        return
    table = Table("metric", *rows)
    for name in next(iter(rows.values())):
        table.add_row(name, *(f"{means[name]:.4f}" for means in rows.values()))
    Console().print(table)
