"""`alignrec study reproduce`: a table of the papers computed on one's own data, beside the printed figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alignrec.cli.lists import whole_numbers, words
from alignrec.cli.output import JsonFlag, chosen_form, print_json, print_tables
from alignrec.cli.study_compare import Format, JobsOption
from alignrec.errors import UsageError

if TYPE_CHECKING:
    from alignrec.studies.reproduction.result import Reproduction

__all__ = ["print_grids", "reproduce"]


def reproduce(
    table: Annotated[str | None, typer.Argument(metavar="PAPER/TABLE", help="Such as cikm24/table2.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List every table and figure, and what it needs.")] = False,
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=FOLDER]", help="A dataset of the table and its folder; repeatable."),
    ] = None,
    models: Annotated[str | None, typer.Option(help="Rows, by label or model, separated by commas.")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(metavar="[SET=]TABLE,...", help="Tables that stand for a feature set of the paper; repeatable."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Separated by commas; each row is trained once with each.")] = "0",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="[MODEL:]SECTION.KEY=VALUE", help="A setting, of all rows or of one model."),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of the runs: what is in it is not trained again. Default: OUT/runs.")
    ] = None,
    run: Annotated[
        list[str] | None, typer.Option(metavar="MODEL=RUN", help="Put this run in the row of MODEL; repeatable.")
    ] = None,
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Train nothing: take each row's best run of --runs by validation.")
    ] = False,
    jobs: JobsOption = 1,
    out: Annotated[Path | None, typer.Option(help="Folder for the tables and the runs.")] = None,
    format_: Format = "terminal",
    json: JsonFlag = False,
) -> None:
    """Compute a table of the papers on your data, and print ours, published and difference.

    What is missing is trained and evaluated first; the same command goes on after a kill.
    """
    form = chosen_form(format_, json)
    if list_:
        _print_list(form)
        return
    if table is None or out is None:
        missing = "the table" if table is None else "--out"
        raise UsageError(f"{missing} is missing; write PAPER/TABLE --dataset NAME=FOLDER --out FOLDER, or --list")
    from alignrec.studies.reproduction.features import parse_feature_sets
    from alignrec.studies.reproduction.reproduce import reproduce as reproduce_table
    from alignrec.studies.reproduction.request import ReproduceRequest

    request = ReproduceRequest(
        models=tuple(words(models or "")),
        features=parse_feature_sets(features or []),
        seeds=tuple(whole_numbers(seeds, "--seeds")),
        settings=_settings(set_ or []),
        runs=runs,
        given=_given(run or []),
        reuse=reuse,
        jobs=jobs,
    )
    found = reproduce_table(table, dict(_dataset(text) for text in dataset or []), out, request)
    _print(found, form)
    for line in found.failures:
        typer.echo(f"failed: {line}", err=True)


def _print(found: "Reproduction", form: str) -> None:
    if form == "csv":
        typer.echo(found.to_csv(), nl=False)
    elif form == "json":
        print_json(found.as_dict())
    else:
        print_grids(found.grids, form)


def print_grids(grids: Any, form: str) -> None:  # Any: an iterable of TextGrid, whose module is heavy
    """Print tables on a terminal, in Markdown or in LaTeX."""
    if form == "terminal":
        print_tables(grid.to_terminal() for grid in grids)
        return
    typer.echo("\n".join(grid.to_markdown() if form == "markdown" else grid.to_latex() for grid in grids), nl=False)


def _print_list(form: str) -> None:
    from alignrec.studies.reproduction.published import published_paper
    from alignrec.studies.reproduction.recipes import RECIPES
    from alignrec.studies.text_grid import TextGrid

    if form == "csv":
        raise UsageError("--list has no CSV form; give --format markdown, latex or json")
    if form == "json":
        keys = ("address", "title", "kind", "datasets", "needs")
        print_json({"tables": [{key: getattr(each, key) for key in keys} for each in RECIPES]})
        return
    lines = [
        (
            each.address,
            published_paper(each.paper).name,
            each.title,
            ", ".join(each.datasets) or "not computed",
            each.needs,
        )
        for each in RECIPES
    ]
    head = ("table", "paper", "what", "datasets", "needs, or why not")
    print_grids([TextGrid("Tables and figures of the papers", head, tuple(lines), words=5)], form)


def _dataset(text: str) -> tuple[str, Path]:
    """`baby=data/baby`; `data/baby` alone is the dataset called like its folder."""
    name, equals, folder = text.partition("=")
    if not name or (equals and not folder):
        raise UsageError(f"cannot read --dataset {text!r}; write NAME=FOLDER, or a folder called like the dataset")
    return (name, Path(folder)) if equals else (Path(text).resolve().name, Path(text))


def _settings(texts: list[str]) -> dict[str, dict[str, Any]]:  # Any: values of settings
    """Full names of settings and their values by model, in lower case; the empty name is of all."""
    from alignrec.settings import by_full_name, parse_assignments

    by_model: dict[str, list[str]] = {}
    for text in texts:
        head, equals, value = text.partition("=")
        model, colon, name = head.partition(":")
        by_model.setdefault(model.strip().lower() if colon else "", []).append(
            f"{name}={value}" if colon and equals else text
        )
    return {model: by_full_name(parse_assignments(lines)) for model, lines in by_model.items()}


def _given(texts: list[str]) -> dict[str, tuple[Path, ...]]:
    found: dict[str, tuple[Path, ...]] = {}
    for text in texts:
        model, equals, folder = text.partition("=")
        if not equals or not model or not folder:
            raise UsageError(f"cannot read --run {text!r}; write MODEL=RUN")
        found[model] = (*found.get(model, ()), Path(folder))
    return found
