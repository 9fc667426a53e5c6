"""`alignrec encode`: train an encoder on a catalogue, and make item vectors from pictures and texts."""

import typer

from alignrec.cli.encode_curve import curve
from alignrec.cli.encode_extract import extract
from alignrec.cli.encode_pretrain import pretrain

__all__ = ["app"]

app = typer.Typer(help="Make item vectors from pictures and texts.", no_args_is_help=True)
app.command("pretrain")(pretrain)
app.command("extract")(extract)
app.command("curve")(curve)
