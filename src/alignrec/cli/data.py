"""`alignrec data`: make and describe dataset folders."""

import typer

__all__ = ["app"]

app = typer.Typer(help="Make and describe datasets.", no_args_is_help=True)
