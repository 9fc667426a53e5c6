"""`alignrec data import tables`: any interactions and items in CSV, TSV, JSON Lines or Parquet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from alignrec.cli.data_import import (
    CoreOption,
    OnErrorOption,
    OutOption,
    ScopeOption,
    SeedOption,
    SplitOption,
    TestShareOption,
    ValidShareOption,
    chosen_split,
    finish_import,
)
from alignrec.cli.output import JsonFlag

__all__ = ["import_tables", "register"]

_Name = str | None


def _column(option: str, text: str) -> Any:  # Any: typer's own type of an option
    return typer.Option(f"--{option}", help=text, show_default=False, rich_help_panel="Columns")


def register(app: typer.Typer) -> None:
    """Add the command `tables` to `app`."""
    app.command("tables")(import_tables)


def import_tables(
    path: Annotated[Path, typer.Argument(help="Folder with interactions.* (and items.*, images/), or that file.")],
    out: OutOption,
    user: Annotated[_Name, _column("user-column", "User ids. Default: user_id, user, ...")] = None,
    item: Annotated[_Name, _column("item-column", "Item ids. Default: item_id, item, movie_id, ...")] = None,
    rating: Annotated[_Name, _column("rating-column", "Ratings. Default: rating, if there.")] = None,
    timestamp: Annotated[
        _Name, _column("timestamp-column", "Seconds or milliseconds since 1970, or ISO 8601. Default: timestamp.")
    ] = None,
    label: Annotated[
        _Name, _column("split-column", "0, 1, 2 or train, valid, test. Default: split or x_label.")
    ] = None,
    separator: Annotated[_Name, typer.Option(help="Of a delimited interactions file; 'tab' for a tab.")] = None,
    header: Annotated[bool, typer.Option(help="Whether that file names its columns; else they are 1, 2, ...")] = True,
    items: Annotated[Path | None, typer.Option(help="Item file. Default: items.* in the folder.")] = None,
    item_separator: Annotated[_Name, typer.Option(help="Of a delimited item file; 'tab' for a tab.")] = None,
    item_id: Annotated[
        _Name, _column("item-id-column", "Ids of the item file. Default: as in the interactions.")
    ] = None,
    title: Annotated[_Name, _column("title-column", "Default: title or name.")] = None,
    brand: Annotated[_Name, _column("brand-column", "Default: brand, store or manufacturer.")] = None,
    categories: Annotated[_Name, _column("categories-column", "Default: categories, category or genres.")] = None,
    category_separator: Annotated[str, typer.Option(help="What stands between categories in a text.")] = "|",
    text: Annotated[
        _Name, _column("text-columns", "Joined into the description, with commas between. Default: description, ...")
    ] = None,
    image: Annotated[_Name, _column("image-column", "Path of the picture, in --images or beside the items.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder with pictures, called ITEM_ID.jpg (.png, .webp).")] = None,
    require_image: Annotated[bool, typer.Option("--require-image", help="Keep only items with a picture.")] = False,
    unknown_items: Annotated[
        Literal["keep", "drop", "fail"], typer.Option(help="Interactions whose item is not in the item file.")
    ] = "keep",
    min_rating: Annotated[float | None, typer.Option(help="Lowest rating that counts as an interaction.")] = None,
    core: CoreOption = None,
    split: SplitOption = None,
    valid_share: ValidShareOption = None,
    test_share: TestShareOption = None,
    scope: ScopeOption = None,
    seed: SeedOption = 0,
    on_error: OnErrorOption = "fail",
    json: JsonFlag = False,
) -> None:
    """Import tables: CSV, TSV, JSON Lines or Parquet, plain or gzipped."""
    from alignrec.data import TableSettings, read_tables  # heavy

    settings = TableSettings.create(
        {
            "user": user,
            "item": item,
            "rating": rating,
            "timestamp": timestamp,
            "split": label,
            "separator": _character(separator),
            "header": header,
            "items": items,
            "item_separator": _character(item_separator),
            "item_id": item_id,
            "title": title,
            "brand": brand,
            "categories": categories,
            "category_separator": category_separator,
            "text_columns": tuple(text.split(",")) if text else (),
            "image": image,
            "images": images,
            "require_image": require_image,
            "unknown_items": unknown_items,
        }
    )
    rule = chosen_split(split, valid_share=valid_share, test_share=test_share, scope=scope)
    raw = read_tables(path, settings, on_error=on_error)
    finish_import(raw, out, core=core, split=rule, seed=seed, min_rating=min_rating, json=json)
    _report(raw.source)


def _character(separator: str | None) -> str | None:
    return "\t" if separator in ("tab", "\\t") else separator


def _report(source: Mapping[str, Any]) -> None:  # Any: JSON values
    """Say on standard error what the items lacked."""
    unknown, without = source.get("unknown_items"), source.get("without_image")
    if unknown and unknown["items"]:
        done = {"keep": "kept, without title or text", "drop": "dropped"}[unknown["rule"]]
        text = f"{unknown['interactions']} interactions name {unknown['items']} items that the item file lacks: {done}"
        typer.echo(text, err=True)
    if without and without["items"]:
        text = f"dropped {without['items']} items without a picture and their {without['interactions']} interactions"
        typer.echo(text, err=True)
