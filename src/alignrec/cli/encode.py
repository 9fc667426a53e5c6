"""`alignrec encode`: item vectors made from the catalogue's pictures and texts."""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.cli.key_values import SetOption, parse_key_values
from alignrec.cli.output import JsonFlag, print_json

__all__ = ["app"]

app = typer.Typer(help="Make item vectors from pictures and texts.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `encode` a group of commands although it has only one."""


@app.command("extract")
def extract(
    encoder: Annotated[str, typer.Argument(metavar="NAME", help="Built-in encoder: pixels or tfidf.")],
    dataset: Annotated[Path, typer.Argument(help="Dataset folder; the features are kept in it.")],
    name: Annotated[str | None, typer.Option(help="Name of the feature table. Default: the encoder's.")] = None,
    assignments: SetOption = None,
    seed: Annotated[int, typer.Option(help="Of the solver, and of the sample where there is one.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Describe every item of a dataset by one vector; features of the same name are replaced."""
    from alignrec.data import Dataset  # heavy
    from alignrec.encoders import extract_builtin
    from alignrec.features import save_features

    data = Dataset.load(dataset)
    settings = parse_key_values(assignments or [], encoder)
    table = extract_builtin(encoder, data, name=name, settings=settings, seed=seed)
    save_features(dataset / "features", table)
    counts = table.provenance.get("pictures", table.provenance.get("texts", {}))
    about = {
        "name": table.name,
        "modality": table.modality,
        "items": len(table.item_ids),
        "size": table.size,
        "hash": table.content_hash,
        "provenance": dict(table.provenance),
    }
    if json:
        print_json(about)
        return
    lacking = ", ".join(
        f"{count} {what.replace('_', ' ')}" for what, count in counts.items() if what != "found" and count
    )
    typer.echo(f"{table.name}: {about['items']} items x {about['size']}, {table.modality}")
    if lacking:
        typer.echo(f"items without one of their own ({table.provenance['items_without']} instead): {lacking}")
