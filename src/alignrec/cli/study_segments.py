"""`alignrec study segments`: runs on the long tail, on cold items, and by how much users took."""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.cli.lists import words
from alignrec.cli.output import JsonFlag, chosen_form, print_json
from alignrec.cli.study_compare import Format
from alignrec.cli.study_reproduce import print_grids

__all__ = ["segments"]


def segments(
    runs: Annotated[list[Path], typer.Argument(help="Folders of evaluated runs; seeds of one model become one row.")],
    metrics: Annotated[str, typer.Option(help="Separated by commas.")] = "recall@20,ndcg@20",
    long_tail: Annotated[int, typer.Option(help="An item with fewer training interactions is of the long tail.")] = 4,
    dataset: Annotated[Path | None, typer.Option(help="Dataset folder, if it has moved.")] = None,
    format_: Format = "terminal",
    json: JsonFlag = False,
) -> None:
    """Show runs on the long tail of items, on cold items, and by what users took in training."""
    form = chosen_form(format_, json)
    from alignrec.studies.segment_table import segment_tables

    found = segment_tables(runs, metrics=words(metrics), long_tail=long_tail, dataset=dataset)
    if form == "json":
        print_json({"segments": [line for table in found for line in table.lines()]})
    elif form == "csv":
        first, *others = (table.to_csv() for table in found)
        typer.echo(first + "".join(text.partition("\n")[2] for text in others), nl=False)  # one line of heads
    else:
        print_grids([table.grid() for table in found], form)
