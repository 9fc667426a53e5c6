"""The command-line application: assembles the commands and turns errors into one line and an exit code.

Exit codes: 0 done, 1 the work failed (`AlignrecError`), 2 wrong use (`UsageError`, and the parser's own).
Modules of commands import nothing heavy at the top: `alignrec --help` must not import torch.
"""

import sys

import typer

from alignrec.cli import data, features
from alignrec.cli.output import print_error
from alignrec.errors import AlignrecError

__all__ = ["app", "main"]

app = typer.Typer(
    name="alignrec",
    help="Multimodal recommendation: from pictures, texts and interactions to recommendations.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.add_typer(features.app, name="features")


def main() -> None:
    """Run the command line; the console script."""
    try:
        app()
    except AlignrecError as error:
        print_error(error)
        sys.exit(error.exit_code)
