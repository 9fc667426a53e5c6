"""`alignrec study figures`: pictures of runs for a paper. Every command writes a PNG, an SVG and its numbers as CSV."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from alignrec.cli.lists import words

__all__ = ["app"]

app = typer.Typer(help="Draw runs: PNG, SVG and the numbers as CSV.", no_args_is_help=True)

_Runs = Annotated[list[Path], typer.Argument(help="Run folders.")]
_Out = Annotated[Path, typer.Option(help="Folder for the figure's files; those of an earlier call are replaced.")]
_Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="What to call a run in the figure; repeat, one for each run in their order."),
]
_Metrics = Annotated[str, typer.Option(help="Separated by commas.")]
_Split = Annotated[Literal["test", "valid"], typer.Option(help="Which split to show.")]
_Moved = Annotated[Path | None, typer.Option(help="Dataset folder, if it has moved.")]
_Again = Annotated[
    bool,
    typer.Option("--train-again", help="Train runs without a record a second time to make it; takes as long as they."),
]


@app.command("training")
def training(
    runs: _Runs,
    out: _Out,
    labels: _Labels = None,
    terms: Annotated[
        str | None, typer.Option(help="Loss terms and metrics to show, separated by commas. Default: all.")
    ] = None,
) -> None:
    """Loss terms and validation metrics by epoch."""
    from alignrec.studies import figures  # heavy

    curves = figures.read_training_curves(runs, labels=labels or (), terms=words(terms) if terms else ())
    _say(figures.write_figure(figures.draw_training_curves(curves), curves, out, "training"))


@app.command("sensitivity")
def sensitivity(
    runs: _Runs,
    out: _Out,
    setting: Annotated[str, typer.Option(help="The one that differs, as model.cca_weight.")],
    metrics: _Metrics = "recall@20,ndcg@20",
    split: _Split = "test",
) -> None:
    """Metrics by the value of one setting; the runs may differ in nothing else but the seed."""
    from alignrec.studies import figures  # heavy

    numbers = figures.read_sensitivity(runs, setting=setting, metrics=words(metrics), split=split)
    _say(figures.write_figure(figures.draw_sensitivity(numbers), numbers, out, "sensitivity"))


@app.command("vectors")
def vectors(
    runs: _Runs,
    out: _Out,
    views: Annotated[
        str, typer.Option(help="Two to four, separated by commas; final.users,content.items pairs users with items.")
    ] = "content.items,behaviour.items",
    sample: Annotated[int, typer.Option(help="Most pairs to draw.")] = 500,
    seed: Annotated[int, typer.Option(help="Decides the sample and the layout.")] = 0,
    labels: _Labels = None,
    dataset: _Moved = None,
) -> None:
    """Two views of the same items in a plane (t-SNE), pairs joined, with their mean cosine."""
    from alignrec.studies import figures  # heavy

    drawn = figures.read_vectors(
        runs, views=words(views), sample=sample, seed=seed, labels=labels or (), dataset=dataset
    )
    _say(figures.write_figure(figures.draw_vectors(drawn), drawn.numbers, out, "vectors"))


@app.command("long-tail")
def bars(
    runs: _Runs,
    out: _Out,
    metrics: _Metrics = "recall@20,ndcg@20",
    long_tail: Annotated[int, typer.Option(help="An item with fewer training interactions is of the long tail.")] = 4,
    labels: _Labels = None,
    dataset: _Moved = None,
) -> None:
    """Metrics for items of the long tail and for users by their training interactions."""
    from alignrec.studies import figures  # heavy

    numbers = figures.read_long_tail(
        runs, metrics=words(metrics), long_tail=long_tail, labels=labels or (), dataset=dataset
    )
    _say(figures.write_figure(figures.draw_long_tail(numbers), numbers, out, "long-tail"))


@app.command("directions")
def directions(
    runs: _Runs, out: _Out, train_again: _Again = False, labels: _Labels = None, dataset: _Moved = None
) -> None:
    """Share of items that FETTLE aligns either way, by pair of modalities and epoch."""
    from alignrec.studies import figures  # heavy

    if train_again:
        _record(runs, "directions", dataset)
    numbers = figures.read_directions(runs, labels=labels or ())
    _say(figures.write_figure(figures.draw_directions(numbers), numbers, out, "directions"))


@app.command("forgetting")
def forgetting(
    runs: _Runs,
    out: _Out,
    train_again: _Again = False,
    views: Annotated[str, typer.Option(help="Learned vectors to show, separated by commas.")] = "content,final",
    labels: _Labels = None,
    dataset: _Moved = None,
) -> None:
    """How far training takes a model from the features it was given, by epoch."""
    from alignrec.studies import figures  # heavy

    if train_again:
        _record(runs, "forgetting", dataset)
    numbers = figures.read_forgetting(runs, labels=labels or ())
    _say(figures.write_figure(figures.draw_forgetting(numbers, views=words(views)), numbers, out, "forgetting"))


def _record(runs: Iterable[Path], trace: str, dataset: Path | None) -> None:
    from alignrec.studies import figures  # heavy

    for run in runs:
        figures.record_again(run, trace, dataset=dataset)


def _say(files: Iterable[Path]) -> None:
    for file in files:
        typer.echo(f"written: {file}")
