"""`alignrec recommend` and `alignrec similar`: what a finished run answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from alignrec.cli.output import JsonFlag, plain_console, print_json

if TYPE_CHECKING:
    import polars as pl

    from alignrec.serving import Recommender
    from alignrec.serving.recommender import Exclude

__all__ = ["recommend", "similar"]

Run = Annotated[Path, typer.Argument(help="Folder of a finished run.")]
Length = Annotated[int, typer.Option("-k", help="Items in the list.")]
Moved = Annotated[Path | None, typer.Option(help="Dataset folder, if it has moved.")]


def recommend(
    run: Run,
    user: Annotated[list[str], typer.Option(help="The user's own id; repeat for several.")],
    k: Length = 10,
    exclude: Annotated[str, typer.Option(help="Known interactions left out: all, train or none.")] = "all",
    dataset: Moved = None,
    json: JsonFlag = False,
) -> None:
    """List the best items for a user."""
    frame = _load(run, dataset).recommend(user, k, exclude=cast("Exclude", exclude))
    _show(frame, "user_id", json)


def similar(
    run: Run,
    item: Annotated[list[str], typer.Option(help="The item's own id; repeat for several.")],
    k: Length = 10,
    dataset: Moved = None,
    json: JsonFlag = False,
) -> None:
    """List the items nearest to an item."""
    _show(_load(run, dataset).similar(item, k), "to_item_id", json)


def _load(run: Path, dataset: Path | None) -> "Recommender":
    from alignrec.serving import Recommender  # heavy

    return Recommender.load(run, dataset)


def _show(frame: "pl.DataFrame", key: str, json: bool) -> None:
    from rich.table import Table

    if json:
        print_json({"results": frame.to_dicts()})
        return
    table = Table(key, "rank", "item_id", "title", "score")
    for row in frame.iter_rows(named=True):
        table.add_row(row[key], str(row["rank"]), row["item_id"], row["title"], f"{row['score']:.4f}")
    plain_console().print(table)
