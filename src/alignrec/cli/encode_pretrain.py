"""`alignrec encode pretrain`: train an encoder on a catalogue's pictures and texts, from nothing or from weights."""

from pathlib import Path
from typing import Annotated, Any

import typer

from alignrec.cli.output import JsonFlag, print_json, print_tables
from alignrec.errors import SettingsError

__all__ = ["pretrain"]


def pretrain(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder; its pictures and texts are read, nothing else.")],
    out: Annotated[Path, typer.Option(help="Folder of the encoder; must be new unless --resume.")],
    preset: Annotated[
        str | None,
        typer.Option(
            help="Size of the encoder: tiny, small, base, large. Default: that of --from, base for --recipe paper, "
            "else tiny."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Defaults of the settings. scratch (the default): useful vectors from nothing. paper: the published "
            "objective; it means something when going on from BEiT-3 weights or after very long training."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--from", help="Start from a BEiT-3 checkpoint (.pth, .safetensors) or from an encoder's folder."),
    ] = None,
    text_tokenizer: Annotated[
        Path | None,
        typer.Option(help="SentencePiece model, such as beit3.spm. Default: of --from's folder, or trained."),
    ] = None,
    visual_tokenizer: Annotated[
        Path | None,
        typer.Option(help="VQ-KD checkpoint or a tokenizer's folder. Default: of --from's folder, or fitted."),
    ] = None,
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

    Two recipes set the defaults of ica, masking and training; --set goes before them. scratch learns from nothing, and
    gives useful vectors after minutes: the item's vector must predict its words and patches. paper is the published
    objective (two passes, 15 % of words and 40 % of patches hidden, rate 5e-4, batches of 1,024, a base encoder): no
    loss reads the item's vector, so start --from BEiT-3's weights, or train very long.

    Sections of settings: start, encoder, ica, masking, training, catalogue, visual.
    """
    from alignrec import studies  # heavy
    from alignrec.settings import parse_assignments

    options = {
        "recipe": recipe,
        "weights": weights,
        "text_tokenizer": text_tokenizer,
        "visual_tokenizer": visual_tokenizer,
    }
    folder = studies.pretrain_encoder(
        dataset,
        out=out,
        preset=preset,
        settings=_with_start(parse_assignments(assignments or ()), options),
        seed=seed,
        device=device,
        threads=threads,
        resume=resume,
    )
    about = folder.description()
    if json:
        print_json({"folder": str(out), **about})
        return
    for line in studies.beginning_lines(about["about"]["start"]):
        typer.echo(line)
    held_out = about["about"]["held_out"]
    losses = "  ".join(f"{name} {value:.4f}" for name, value in held_out.items() if name != "ica")
    print_tables([studies.pretraining_table(out)])
    shape = about["encoder"]
    typer.echo(f"encoder of {shape['layers']} x {shape['width']} in {out}: held-out {losses}")
    typer.echo(f"next: alignrec encode extract {out} {dataset} --name ica")


def _with_start(
    settings: dict[str, dict[str, Any]], options: dict[str, Any]
) -> dict[str, dict[str, Any]]:  # Any: user input
    """`settings` with the options that were given in their section `start`."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in sorted(given.keys() & settings.get("start", {}).keys()):
        raise SettingsError(f"start.{name} is given by --set and by its option; keep one")
    return {**settings, "start": {**settings.get("start", {}), **given}} if given else settings
