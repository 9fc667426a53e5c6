"""`alignrec data import amazon`: McAuley's Amazon reviews, editions 2014 and 2023."""

from pathlib import Path
from typing import Annotated, Literal

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

__all__ = ["import_amazon", "register"]


def register(app: typer.Typer) -> None:
    """Add the command `amazon` to `app`."""
    app.command("amazon")(import_amazon)


def import_amazon(
    path: Annotated[Path, typer.Argument(help="Folder with the files as downloaded, plain or gzipped.")],
    category: Annotated[str, typer.Option(help="Baby, Sports, Clothing, Electronics, or as in the file names.")],
    out: OutOption,
    edition: Annotated[
        Literal["2014", "2023"] | None, typer.Option(help="Which edition, if the folder holds both.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder with pictures, called by item id or as in their addresses.")
    ] = None,
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
    """Import Amazon reviews with metadata and, in 2014, image features."""
    from alignrec.data import DEFAULT_CORE, read_amazon  # heavy

    rule = chosen_split(split, valid_share=valid_share, test_share=test_share, scope=scope)
    core = DEFAULT_CORE if core is None else core
    raw = read_amazon(
        path, category, edition=edition, images=images, core=core, min_rating=min_rating, on_error=on_error
    )
    finish_import(raw, out, core=core, split=rule, seed=seed, min_rating=min_rating, json=json)
