"""`alignrec encode pretrain`: train an encoder on a catalogue's pictures and texts."""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.cli.output import JsonFlag, print_json

__all__ = ["pretrain"]


def pretrain(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder; its pictures and texts are read, nothing else.")],
    out: Annotated[Path, typer.Option(help="Folder of the encoder; must be new unless --resume.")],
    preset: Annotated[str, typer.Option(help="Size of the encoder: tiny, small, base, large.")] = "tiny",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="A setting, as in training.steps=500; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides everything that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 1 repeats to the byte.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    json: JsonFlag = False,
) -> None:
    """Train an encoder by hiding words and patches of the catalogue and predicting them; needs no interactions.

    Sections of settings: encoder, ica, masking, training, catalogue.
    """
    from alignrec import studies  # heavy
    from alignrec.settings import parse_assignments

    folder = studies.pretrain_encoder(
        dataset,
        out=out,
        preset=preset,
        settings=parse_assignments(assignments or ()),
        seed=seed,
        device=device,
        threads=threads,
        resume=resume,
    )
    about = folder.description()
    if json:
        print_json({"folder": str(out), **about})
        return
    held_out = about["about"]["held_out"]
    losses = "  ".join(f"{name} {value:.4f}" for name, value in held_out.items() if name != "ica")
    typer.echo(f"{preset} encoder in {out}: held-out {losses}")
    typer.echo(f"next: alignrec encode extract {out} {dataset} --name ica")
