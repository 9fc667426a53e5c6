"""`alignrec encode extract`: item vectors from pictures and texts, by a trained or a built-in encoder."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from alignrec.cli.key_values import SetOption, parse_key_values
from alignrec.cli.output import JsonFlag, print_json

__all__ = ["extract"]


def extract(
    encoder: Annotated[
        str,
        typer.Argument(
            metavar="ENCODER|NAME",
            help="Folder of a trained encoder, or pixels or tfidf, or hf: and a Hugging Face model's name or folder.",
        ),
    ],
    dataset: Annotated[Path, typer.Argument(help="Dataset folder; the features are kept in it.")],
    name: Annotated[str | None, typer.Option(help="Name of the feature table. Default: the encoder's.")] = None,
    assignments: SetOption = None,
    seed: Annotated[int, typer.Option(help="Of pixels and tfidf: of the solver, and of the sample if any.")] = 0,
    device: Annotated[str, typer.Option(help="Of a trained or hf: encoder: auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads of a trained or hf: encoder; 1 repeats to the byte.")] = 1,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that decode pictures for a trained encoder. Default: 0 beside one thread, else up to 4."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Describe every item of a dataset by one vector; features of the same name are replaced.

    A folder comes before a built-in encoder of the same name. A model hf:OWNER/NAME is fetched from the hub once;
    such models need the extra "pretrained". With a trained encoder the same command goes on with what was broken off.
    """
    from alignrec import studies  # heavy
    from alignrec.data import Dataset
    from alignrec.encoders import extract_builtin, extract_pretrained, pretrained_name
    from alignrec.features import require_usable_name, save_features
    from alignrec.runtime import set_threads

    pretrained, model = encoder.startswith("hf:"), encoder.removeprefix("hf:")
    trained = not pretrained and Path(encoder).is_dir()
    name = name or (pretrained_name(model) if pretrained else Path(encoder).resolve().name if trained else encoder)
    settings = parse_key_values(assignments or [], "hf" if pretrained else "extract" if trained else encoder)
    require_usable_name(name)
    set_threads(threads)
    data = Dataset.load(dataset)
    started = time.perf_counter()
    if trained:
        run = studies.run_extraction(
            encoder, data, name=name, settings=settings, device=device, threads=threads, workers=workers, save=True
        )
        table, encoded, seconds = run.table, run.encoded, run.seconds
    else:
        if pretrained:
            table = extract_pretrained(model, data, name=name, settings=settings, device=device)
        else:
            table = extract_builtin(encoder, data, name=name, settings=settings, seed=seed)
        encoded, seconds = len(table.item_ids), time.perf_counter() - started
        save_features(dataset / "features", table)
    about = {
        "name": table.name,
        "modality": table.modality,
        "items": len(table.item_ids),
        "size": table.size,
        "hash": table.content_hash,
        "encoded": encoded,
        "seconds": seconds,
        "items_per_second": encoded / seconds,
        "provenance": dict(table.provenance),
    }
    if json:
        print_json(about)
        return
    typer.echo(f"{table.name}: {about['items']} items x {about['size']}, {table.modality}")
    typer.echo(f"encoded {encoded} items in {seconds:.1f} s, {encoded / seconds:.1f} items/s")
    for line in _lacking(table.provenance):
        typer.echo(line)


def _lacking(provenance: Mapping[str, Any]) -> Iterator[str]:  # Any: JSON values
    """What the catalogue lacks, and what became of it."""
    instead = provenance.get("items_without")
    missing = []
    for kind in ("pictures", "texts"):
        counts = {what: n for what, n in provenance.get(kind, {}).items() if what != "found" and n}
        if counts:
            missing.append(f"{kind} " + ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in counts.items()))
    if missing and "nothing_shown" not in provenance:
        yield f"items without one of their own ({instead} instead): {'; '.join(missing)}"
    elif missing:
        yield f"not found: {'; '.join(missing)}"
    if provenance.get("nothing_shown"):
        yield f"items that have nothing to show ({instead} instead): {provenance['nothing_shown']}"
