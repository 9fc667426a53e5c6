"""`alignrec features`: feature tables made elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.cli.output import JsonFlag, print_json

__all__ = ["app"]

app = typer.Typer(help="Bring in item vectors made elsewhere.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `features` a group of commands although it has only one."""


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Vectors: .npy, .safetensors or .parquet.")],
    dataset: Annotated[Path, typer.Argument(help="Dataset folder they belong to.")],
    name: Annotated[str, typer.Option(help="Name of the feature table.")],
    modality: Annotated[str, typer.Option(help="What the vectors describe: image, text, audio, ...")] = "content",
    id_column: Annotated[
        str | None, typer.Option(help="Parquet column with the item ids; without it rows follow the items.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Import vectors by row order or by item id."""
    from alignrec.data import Dataset  # heavy
    from alignrec.features import import_features, save_features

    data = Dataset.load(dataset)
    table = import_features(file, data.items.ids, name=name, modality=modality, id_column=id_column)
    save_features(dataset / "features", table)
    about = {
        "name": table.name,
        "modality": table.modality,
        "items": len(table.item_ids),
        "size": table.size,
        "hash": table.content_hash,
    }
    if json:
        print_json(about)
    else:
        typer.echo(f"{name}: {about['items']} items x {about['size']}, {modality}")
