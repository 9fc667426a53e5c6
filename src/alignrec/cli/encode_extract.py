"""`alignrec encode extract`: item vectors from pictures and texts, by a trained or a built-in encoder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from alignrec.cli.key_values import SetOption, parse_key_values
from alignrec.cli.output import JsonFlag, print_json

__all__ = ["extract"]


def extract(
    encoder: Annotated[
        str, typer.Argument(metavar="ENCODER|NAME", help="Folder of a trained encoder, or pixels or tfidf.")
    ],
    dataset: Annotated[Path, typer.Argument(help="Dataset folder; the features are kept in it.")],
    name: Annotated[str | None, typer.Option(help="Name of the feature table. Default: the encoder's.")] = None,
    assignments: SetOption = None,
    seed: Annotated[int, typer.Option(help="Of pixels and tfidf: of the solver, and of the sample if any.")] = 0,
    device: Annotated[str, typer.Option(help="Of a trained encoder: auto, cpu, cuda or cuda:N.")] = "auto",
    json: JsonFlag = False,
) -> None:
    """Describe every item of a dataset by one vector; features of the same name are replaced.

    A folder comes before a built-in encoder of the same name.
    """
    from alignrec import studies  # heavy
    from alignrec.data import Dataset
    from alignrec.encoders import extract_builtin
    from alignrec.features import require_usable_name, save_features

    trained = Path(encoder).is_dir()
    name = name or (Path(encoder).resolve().name if trained else encoder)
    settings = parse_key_values(assignments or [], "extract" if trained else encoder)
    require_usable_name(name)
    if trained:
        table = studies.extract_features(encoder, Dataset.load(dataset), name=name, settings=settings, device=device)
    else:
        data = Dataset.load(dataset)
        table = extract_builtin(encoder, data, name=name, settings=settings, seed=seed)
    save_features(dataset / "features", table)
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
    typer.echo(f"{table.name}: {about['items']} items x {about['size']}, {table.modality}")
    lacking = _lacking(table.provenance)
    if lacking:
        typer.echo(f"items without one of their own ({table.provenance['items_without']} instead): {lacking}")


def _lacking(provenance: Mapping[str, Any]) -> str:  # Any: JSON values
    counts = provenance.get("pictures", provenance.get("texts", {}))
    return ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items() if what != "found" and count)
