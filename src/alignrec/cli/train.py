"""`alignrec train`: one model, one dataset, one run folder."""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.cli.output import JsonFlag, print_json

__all__ = ["train"]


def train(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    model: Annotated[
        str,
        typer.Option(
            help="bpr, lightgcn, sgl, directau, ncl, vbpr, mmgcn, grcn, dualgnn, lattice, slmrec, bm3, freedom, mgcn, "
            "lgmrec, dream, alignrec."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; must be new unless --resume.")],
    features: Annotated[
        list[str] | None, typer.Option(help="Feature table; repeat for several, A+B joins two into one.")
    ] = None,
    plugin: Annotated[
        list[str] | None,
        typer.Option(help="Losses added to the model's: bm3, bma, cca, fettle, reg, uia; repeat for several."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="A setting, as in training.lr=0.001 or plugin.fettle.item_weight=0.01; repeatable.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides everything that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 1 repeats to the byte.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    json: JsonFlag = False,
) -> None:
    """Train a model; the epoch is chosen on the validation split, the test split stays closed."""
    from alignrec import studies  # heavy
    from alignrec.settings import parse_assignments

    run = studies.train(
        dataset,
        model=model,
        out=out,
        features=features or (),
        plugins=plugin or (),
        settings=parse_assignments(assignments or ()),
        seed=seed,
        device=device,
        threads=threads,
        resume=resume,
    )
    report = run.report()
    if json:
        print_json({"run": str(out), **report})
        return
    how = report["training"]
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in report["valid"].items())
    what = " + ".join([model, *run.plan.plugins])
    typer.echo(f"{what}: best epoch {how['best_epoch']} of {how['epochs']}, validation {metrics}")
    typer.echo(f"next: alignrec evaluate {out}")
