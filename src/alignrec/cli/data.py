"""`alignrec data`: make and describe dataset folders."""

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from alignrec.cli import data_amazon, data_shop, data_tables
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
    print_dataset,
)
from alignrec.cli.output import JsonFlag

__all__ = ["app", "import_app"]


class _InOrder(TyperGroup):
    """Lists the commands in the order of the data's way."""

    def list_commands(self, _ctx: object) -> list[str]:
        return sorted(self.commands, key=("import", "shop", "describe").index)


app = typer.Typer(cls=_InOrder, help="Make and describe datasets.", no_args_is_help=True)
import_app = typer.Typer(help="Turn files of any source into a dataset folder.", no_args_is_help=True)
app.add_typer(import_app, name="import")


@import_app.command("mmrec")
def import_mmrec(
    path: Annotated[Path, typer.Argument(help="MMRec folder (*.inter, *_feat.npy), or the .inter file in it.")],
    out: OutOption,
    core: CoreOption = None,
    split: SplitOption = None,
    valid_share: ValidShareOption = None,
    test_share: TestShareOption = None,
    scope: ScopeOption = None,
    seed: SeedOption = 0,
    on_error: OnErrorOption = "fail",
    json: JsonFlag = False,
) -> None:
    """Import an MMRec folder: interactions by number, labels, features by modality."""
    from alignrec.data import read_mmrec  # heavy

    rule = chosen_split(split, valid_share=valid_share, test_share=test_share, scope=scope)
    finish_import(read_mmrec(path, on_error=on_error), out, core=core, split=rule, seed=seed, json=json)


data_amazon.register(import_app)
data_tables.register(import_app)
data_shop.register(app)


@app.command("describe")
def describe(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    json: JsonFlag = False,
) -> None:
    """Show sizes, degrees, splits, gaps in the catalogue, features and hashes."""
    from alignrec.data import Dataset  # heavy

    print_dataset(Dataset.load(dataset), json=json)
