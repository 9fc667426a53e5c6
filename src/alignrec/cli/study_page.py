"""`alignrec study page`: a study as one HTML file that stands alone."""

from pathlib import Path
from typing import Annotated

import typer

from alignrec.cli.output import JsonFlag, print_json
from alignrec.cli.study_compare import dataset_folders

__all__ = ["page"]


def page(
    study: Annotated[Path, typer.Argument(help="Folder of a study; it may have failed or waiting runs.")],
    out: Annotated[Path, typer.Option(help="Folder for index.html; an earlier one is replaced.")],
    users: Annotated[int, typer.Option(help="Users of each dataset to show recommendations for.")] = 3,
    seed: Annotated[int, typer.Option(help="Draws these users.")] = 0,
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FOLDER", help="Where a dataset is that has moved; repeatable.")
    ] = None,
    figure: Annotated[
        list[Path] | None, typer.Option(metavar="FILE.svg", help="A figure to show besides; repeatable.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Write a study as one HTML file: tables, figures, examples, settings, hashes and commands."""
    from alignrec.studies.page.document import write_study_page  # heavy
    from alignrec.studies.page.figures import read_figures

    path = write_study_page(
        study, out, users=users, seed=seed, datasets=dataset_folders(dataset or []), figures=read_figures(figure or [])
    )
    if json:
        print_json({"page": str(path), "bytes": path.stat().st_size})
    else:
        typer.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
