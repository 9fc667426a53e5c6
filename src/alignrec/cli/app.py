"""The command-line application: assembles the commands and turns errors into one line and an exit code.

Exit codes: 0 done, 1 the work failed (`AlignrecError`), 2 wrong use (`UsageError`, and the parser's own).
Modules of commands import nothing heavy at the top: `alignrec --help` must not import torch.
"""

import io
import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from alignrec.cli import data, demo, doctor, encode, evaluate, features, probe, recommend, study, train
from alignrec.cli.output import print_error
from alignrec.errors import AlignrecError
from alignrec.extensions import import_extensions, import_inherited

__all__ = ["app", "main"]

_ORDER = ("demo", "doctor", "data", "encode", "features", "probe", "train", "evaluate", "recommend", "similar", "study")


class _InOrder(TyperGroup):
    """Lists the commands in the order of the data's way, whichever way they are registered."""

    def list_commands(self, _ctx: object) -> list[str]:
        return sorted(self.commands, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


app = typer.Typer(
    name="alignrec",
    cls=_InOrder,
    help="Multimodal recommendation: from pictures, texts and interactions to recommendations.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _before_any_command(
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="FILE_OR_MODULE",
            help="Code that registers models or plug-ins of your own, before the command; repeatable.",
        ),
    ] = None,
) -> None:
    import_extensions(imports or ())
    import_inherited()


app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.add_typer(data.app, name="data")
app.add_typer(encode.app, name="encode")
app.add_typer(features.app, name="features")
app.command("probe")(probe.probe)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("recommend")(recommend.recommend)
app.command("similar")(recommend.similar)
app.add_typer(study.app, name="study")


def main() -> None:
    """Run the command line; the console script."""
    _print_what_the_encoding_has()
    try:
        app()
    except AlignrecError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except OSError as error:  # no permission, disk full: the system's own words, without a traceback
        print_error(error)
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        print_error(AlignrecError(f"not enough memory: {error}; make batches or the model smaller, or free some"))
        sys.exit(1)


def _print_what_the_encoding_has() -> None:
    """Signs that standard output cannot encode become question marks; standard error escapes them anyway."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and (out.errors == "strict" or not out.encoding.lower().startswith("utf")):
        out.reconfigure(errors="replace")


def _lacks_memory(error: Exception) -> bool:
    """NumPy says it by the error's kind, PyTorch in words."""
    words = str(error).lower()
    told = ("out of memory", "can't allocate memory", "storage size calculation overflowed")
    return isinstance(error, MemoryError) or any(each in words for each in told)
