"""`alignrec train`: one model, one dataset, one run folder; or a run once more from its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from alignrec.cli.output import JsonFlag, print_json
from alignrec.errors import UsageError

__all__ = ["train"]

T = TypeVar("T")


def train(
    dataset: Annotated[Path | None, typer.Argument(help="Dataset folder.", show_default=False)] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            help="bpr, lightgcn, sgl, directau, ncl, vbpr, mmgcn, grcn, dualgnn, lattice, slmrec, bm3, freedom, mgcn, "
            "lgmrec, dream, alignrec."
        ),
    ] = None,
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
    seed: Annotated[int | None, typer.Option(help="Decides everything that is drawn.  [default: 0]")] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N.  [default: auto; with --from the run's]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; 1 repeats to the byte.  [default: 1; with --from the run's]")
    ] = None,
    from_run: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Train once more what the run in this folder trained."),
    ] = None,
    dataset_folder: Annotated[
        Path | None, typer.Option(help="With --from: the dataset's folder, if it has moved.")
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(help="Follow the run with tensorboard, mlflow or wandb; repeat for several."),
    ] = None,
    track_to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]PLACE",
            help="TensorBoard's folder or MLflow's tracking URI.  [default: in the run's folder]",
        ),
    ] = None,
    record: Annotated[
        list[str] | None,
        typer.Option(help="Keep what a figure needs of every epoch: directions (of fettle) or forgetting; repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    json: JsonFlag = False,
) -> None:
    """Train a model; the epoch is chosen on the validation split, the test split stays closed."""
    from alignrec import studies  # heavy
    from alignrec.settings import parse_assignments
    from alignrec.studies.figures import trace_recorder

    places = studies.tracker_places(track or (), track_to or ())
    if from_run is not None:
        _refuse_beside_from(
            {"DATASET": dataset, "--model": model, "--features": features, "--plugin": plugin}
            | {"--set": assignments, "--seed": seed, "--record": record}
        )
        run = studies.retrain(
            from_run, out=out, dataset=dataset_folder, device=device, threads=threads, resume=resume, track=places
        )
    else:
        if dataset_folder is not None:
            raise UsageError("--dataset-folder goes with --from RUN; without it the dataset is the first argument")
        folder = _required(dataset, "DATASET")
        run = studies.train(
            folder,
            model=_required(model, "--model NAME"),
            out=out,
            features=features or (),
            plugins=plugin or (),
            settings=parse_assignments(assignments or ()),
            seed=seed or 0,
            device=device or "auto",
            threads=1 if threads is None else threads,
            resume=resume,
            observers=[
                trace_recorder(name, folder, features or (), out, plugins=plugin or ())
                for name in dict.fromkeys(record or ())
            ],
            track=places,
        )
    report = run.report()
    if json:
        print_json({"run": str(out), **report})
        return
    how = report["training"]
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in run.selected().items())
    what = " + ".join([run.plan.model, *run.plan.plugins])
    typer.echo(f"{what}: best epoch {how['best_epoch']} of {how['epochs']}, validation {metrics}")
    typer.echo(f"next: alignrec evaluate {out}")


def _refuse_beside_from(given: Mapping[str, object]) -> None:
    """Everything that decides the results comes from the run."""
    twice = [name for name, value in given.items() if value is not None]
    if twice:
        raise UsageError(f"--from takes {', '.join(twice)} from the run; leave out the one or the other")


def _required(value: T | None, name: str) -> T:
    if value is None:
        raise UsageError(f"{name} is missing; give DATASET and --model NAME, or --from RUN")
    return value
