"""`alignrec encode curve`: draw how an encoder's losses and features developed in pre-training."""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.errors import UsageError

__all__ = ["curve"]


def curve(
    encoder: Annotated[Path, typer.Argument(help="Folder of 'encode pretrain', finished or still in training.")],
    out: Annotated[Path, typer.Option(help="Picture to write: .png, .svg or .pdf.")],
    dataset: Annotated[Path | None, typer.Option(help="Dataset folder that --features lie in.")] = None,
    features: Annotated[
        list[str] | None, typer.Option(help="Features whose zero-shot recall@20 is drawn as a line. Repeat for more.")
    ] = None,
) -> None:
    """Draw held-out losses, and the zero-shot recalls where the run probed on the way (catalogue.probe_every)."""
    from alignrec.data import Dataset
    from alignrec.probes import zero_shot  # heavy
    from alignrec.studies.learning_curve import draw_learning_curve, read_learning_curve

    if features and dataset is None:
        raise UsageError("to draw lines for --features, name their dataset too, with --dataset")
    baselines = {}
    if dataset is not None:
        data = Dataset.load(dataset)
        baselines = {name: zero_shot(data.features(name), data.log, ks=(20,)).recall(20) for name in features or ()}
    draw_learning_curve(read_learning_curve(encoder), out, baselines)
    typer.echo(f"drawn: {out}")
