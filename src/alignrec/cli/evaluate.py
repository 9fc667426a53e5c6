"""`alignrec evaluate`: opens the test split of a finished run."""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.cli.output import JsonFlag, plain_console, print_json

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    metric: Annotated[
        list[str] | None, typer.Option(help="As recall@20; repeatable. Default: all at 5, 10, 20 and 50.")
    ] = None,
    dataset: Annotated[Path | None, typer.Option(help="Dataset folder, if it has moved.")] = None,
    item_knn: Annotated[bool, typer.Option("--item-knn", help="Measure ItemKNN too, beside popularity.")] = False,
    json: JsonFlag = False,
) -> None:
    """Measure a run on the validation and test splits, beside popularity."""
    from alignrec import studies  # heavy
    from alignrec.evaluation import DEFAULT_METRICS, report_table

    reports = studies.evaluate(run, metrics=tuple(metric or DEFAULT_METRICS), dataset=dataset, item_knn=item_knn)
    shown = {"model": reports.model, "popularity": reports.popularity}
    if reports.item_knn is not None:
        shown["item_knn"] = reports.item_knn
    if json:
        values = {name: {split: r.as_dict() for split, r in group.items()} for name, group in shown.items()}
        print_json({"run": str(run), **values})
        return
    console = plain_console()
    console.print(report_table(reports.model.values(), title=f"{run}"))
    for name in list(shown)[1:]:
        console.print(report_table(shown[name].values(), title=name.replace("item_knn", "ItemKNN")))
