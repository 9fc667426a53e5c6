"""`alignrec study tune`: search the settings of a model; the choice is made on the validation split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from alignrec.cli.lists import whole_numbers
from alignrec.cli.output import JsonFlag, print_json, print_tables

if TYPE_CHECKING:
    from alignrec.studies.tuning.result import TuneResult

__all__ = ["tune"]


def tune(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    model: Annotated[str, typer.Option(help="As for 'alignrec train'.")],
    out: Annotated[Path, typer.Option(help="Folder of the search; the same command goes on with the one in it.")],
    features: Annotated[
        list[str] | None, typer.Option(help="Feature table; repeat for several, A+B joins two into one.")
    ] = None,
    plugin: Annotated[list[str] | None, typer.Option(help="As for 'alignrec train'; repeat for several.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="A setting that is the same in all trials; repeatable."
        ),
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECTION.KEY=VALUES",
            help="What to try: [a,b,c], low..high or log:low..high; repeatable. Added to the model's published lists, "
            "or in place of one.",
        ),
    ] = None,
    defaults: Annotated[
        bool, typer.Option("--defaults/--no-defaults", help="Whether the published lists are searched.")
    ] = True,
    trials: Annotated[int | None, typer.Option(help="How many in all. Default: the whole grid, or 20 drawn.")] = None,
    sampler: Annotated[Literal["grid", "random", "tpe"], typer.Option(help="How points are chosen.")] = "grid",
    seed: Annotated[int, typer.Option(help="Decides what is drawn, and the training unless --seeds are given.")] = 0,
    seeds: Annotated[
        str | None, typer.Option(help="Of training, as in 0,1,2; a trial is worth the mean of their validation.")
    ] = None,
    pruner: Annotated[
        Literal["none", "median"], typer.Option(help="median: end trials early that are below the median.")
    ] = "none",
    metric: Annotated[str, typer.Option(help="Of validation.")] = "recall@20",
    select: Annotated[
        Literal["valid", "test"],
        typer.Option(help="test: also show what selecting on the test split would have named; never a result."),
    ] = "valid",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads of a trial; 1 repeats to the byte.")] = 1,
    json: JsonFlag = False,
) -> None:
    """Search a model's settings: every trial is a run, the best on validation wins, the test split stays closed."""
    from alignrec.settings import by_full_name, parse_assignments  # heavy
    from alignrec.studies.tuning.tune import tune as tune_model

    result = tune_model(
        dataset,
        model=model,
        out=out,
        features=features or (),
        plugins=plugin or (),
        settings=parse_assignments(assignments or ()),
        space=by_full_name(parse_assignments(space or ())),
        defaults=defaults,
        trials=trials,
        sampler=sampler,
        seed=seed,
        seeds=None if seeds is None else whole_numbers(seeds, "--seeds"),
        pruner=pruner,
        metric=metric,
        select=select,
        device=device,
        threads=threads,
        announce=lambda line: typer.echo(line, err=True),
    )
    if json:
        print_json({"folder": str(out), **result.as_dict()})
    else:
        _print(result)


def _print(result: "TuneResult") -> None:
    from alignrec.studies.tuning.result import SELECTED_ON_TEST

    print_tables([result.to_terminal()])
    running, best, on_test = result.count("running"), result.best, result.best_on_test
    if running:
        typer.echo(f"{running} trials are still running elsewhere; the choice may change")
    if best is None:
        return
    tested = f", test {result.tests[best.number]:.4f}" if on_test else ""
    typer.echo(f"best: trial {best.number}, validation {result.task.metric} {best.value:.4f}{tested}")
    for command in result.train_commands(best):
        typer.echo(f"again: {command}")
    if on_test:
        typer.echo(f"selected on test: trial {on_test.number}, test {result.tests[on_test.number]:.4f}")
        typer.echo(SELECTED_ON_TEST)
    else:
        for command in result.evaluate_commands(best):
            typer.echo(f"next: {command}")
