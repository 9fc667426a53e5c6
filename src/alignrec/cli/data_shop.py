"""`alignrec data shop`: the built-in catalogue that draws itself, and its customers."""

from typing import Annotated

import typer

from alignrec.cli.data_import import OutOption, print_dataset
from alignrec.cli.key_values import SetOption, parse_key_values
from alignrec.cli.output import JsonFlag

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command `shop` to `app`."""
    app.command("shop")(_draw)


def _draw(
    out: OutOption,
    items: Annotated[int, typer.Option(help="Items in the catalogue.")] = 2000,
    users: Annotated[int, typer.Option(help="Customers.")] = 2000,
    seed: Annotated[int, typer.Option(help="Another seed draws another shop, the same seed the same one.")] = 0,
    assignments: SetOption = None,
    json: JsonFlag = False,
) -> None:
    """Draw a shop with pictures, texts and purchases, to try everything on.

    Further settings of the shop, such as taste or image_size, are given by --set.
    """
    from alignrec.data import ShopSettings, draw_shop  # heavy

    given = {"items": items, "users": users, **parse_key_values(assignments or [], "shop")}
    dataset = draw_shop(out, settings=ShopSettings.create(given, section="shop"), seed=seed)
    print_dataset(dataset, json=json)
