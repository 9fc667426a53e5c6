"""`alignrec study compare`: runs side by side, or a study from its YAML file, run as far as it is not yet."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from alignrec.cli.lists import words
from alignrec.cli.output import JsonFlag, chosen_form, print_json, print_tables
from alignrec.errors import UsageError

if TYPE_CHECKING:
    from alignrec.studies import Comparison
    from alignrec.studies.study import Study

__all__ = ["Format", "JobsOption", "RunsOption", "compare", "dataset_folders", "print_comparison", "print_study"]

Format = Annotated[
    Literal["terminal", "markdown", "latex", "csv", "json"], typer.Option("--format", help="Of what is printed.")
]
JobsOption = Annotated[int, typer.Option(help="Runs at a time, each in a process with one thread.")]
RunsOption = Annotated[
    Path | None, typer.Option(help="Folder of the runs, to share them among studies. Default: OUT/runs.")
]


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...|STUDY.yaml", help="Folders of evaluated runs, or one study's file.")
    ],
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Separated by commas; also coverage@20, novelty@20, gini@20, tail_share@20. "
            "Default: the study's, or recall@20,ndcg@20."
        ),
    ] = None,
    split: Annotated[Literal["test", "valid"], typer.Option(help="Which split to compare on.")] = "test",
    baseline: Annotated[
        str | None, typer.Option(help="Row to test the others against, by its label. Default: the best other row.")
    ] = None,
    popularity: Annotated[bool, typer.Option("--popularity", help="Show popularity's row too; a study does.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the study.")] = None,
    runs_folder: Annotated[
        Path | None, typer.Option("--runs", help="Of a study: folder of its runs, to share them. Default: OUT/runs.")
    ] = None,
    jobs: JobsOption = 1,
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FOLDER", help="Of a study: where a dataset is; repeatable.")
    ] = None,
    format_: Format = "terminal",
    json: JsonFlag = False,
) -> None:
    """Compare runs: mean and spread over seeds, and which differences are more than chance.

    Given the YAML file of a study, train and evaluate what it lacks first; the same command goes on after a kill.
    """
    form = chosen_form(format_, json)
    from alignrec.studies.compare import DEFAULT_COMPARED  # heavy
    from alignrec.studies.compare import compare as compare_runs

    names = None if metrics is None else words(metrics)
    files = [path for path in runs if path.suffix in (".yaml", ".yml")]
    if files:
        if len(runs) > 1:
            raise UsageError(f"{files[0]} is a study; give it alone, or folders of runs")
        if split != "test" or baseline is not None:
            raise UsageError("--split and --baseline are of runs; a study's file names its baseline")
        _study(files[0], out, names, runs_folder=runs_folder, jobs=jobs, dataset=dataset, form=form)
        return
    given = {"--out": out, "--runs": runs_folder, "--dataset": dataset}
    unread = [name for name, value in given.items() if value]
    if unread:
        raise UsageError(f"{unread[0]} is of a study; give its YAML file in place of runs")
    asked = DEFAULT_COMPARED if names is None else names
    found = compare_runs(runs, metrics=asked, baseline=baseline, split=split, popularity=popularity)
    print_comparison(found, form)


def _study(
    file: Path,
    out: Path | None,
    metrics: list[str] | None,
    *,
    runs_folder: Path | None,
    jobs: int,
    dataset: list[str] | None,
    form: str,
) -> None:
    from alignrec.studies.study import run_study
    from alignrec.studies.study_settings import load_study

    if out is None:
        raise UsageError(f"--out is missing; name the folder that is to hold the study {file}")
    settings = load_study(file, datasets=dataset_folders(dataset or []))
    if metrics is not None:
        settings = settings.model_copy(update={"metrics": metrics})
    print_study(run_study(settings, out, jobs=jobs, runs=runs_folder), form)


def print_study(study: "Study", form: str) -> None:
    """Print a study's comparison and, on standard error, the runs that failed; then the command ends with 1."""
    print_comparison(study.comparison(), form)
    failures = study.failures()
    for line in failures:
        typer.echo(f"failed: {line}", err=True)
    if failures:
        raise typer.Exit(1)


def dataset_folders(assignments: list[str]) -> dict[str, str]:
    """`NAME=FOLDER` as name -> folder.

    Raises:
        UsageError: a text that is not of this form.
    """
    found = {}
    for text in assignments:
        name, equals, folder = text.partition("=")
        if not equals or not name or not folder:
            raise UsageError(f"cannot read --dataset {text!r}; write NAME=FOLDER")
        found[name] = folder
    return found


def print_comparison(found: "Comparison", form: str) -> None:
    """Print a comparison in the form asked for."""
    if form == "json":
        print_json(found.as_dict())
    elif form == "terminal":
        print_tables(grid.to_terminal() for grid in found.grids())
    else:
        texts = {"markdown": found.to_markdown, "latex": found.to_latex, "csv": found.to_csv}
        typer.echo(texts[form](), nl=False)
