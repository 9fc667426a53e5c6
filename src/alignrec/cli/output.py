"""How commands print: tables for people, one JSON object for machines (`--json`), errors in one line on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alignrec.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["JsonFlag", "chosen_form", "plain_console", "print_error", "print_json", "print_tables"]

_NARROWEST, _NO_LIMIT = 100, 100_000  # columns of what goes into a pipe

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def plain_console() -> "Console":
    """A console that shows titles, ids and paths as they are: `[M]` and `:baby:` in them are no instructions to it."""
    from rich.console import Console

    return Console(markup=False, emoji=False)


def print_tables(tables: "Iterable[RenderableType]") -> None:
    """Print tables: on a terminal within its columns, into a pipe or a file, which have none, as wide as each is."""
    from rich.console import Console

    console = Console()
    for table in tables:
        if not console.is_terminal:
            console.width = _NO_LIMIT
            console.width = max(_NARROWEST, console.measure(table).maximum)
        console.print(table)


def chosen_form(format_: str, json: bool) -> str:
    """The form to print in, by `--format` and `--json`, which is short for `--format json`.

    Raises:
        UsageError: the two ask for different forms.
    """
    if json and format_ not in ("terminal", "json"):
        raise UsageError(f"--json and --format {format_} print two different things; give one of them")
    return "json" if json else format_


def print_json(value: Mapping[str, Any]) -> None:  # Any: JSON values
    """Print `value` as one JSON object on standard output."""
    takes_all = str(sys.stdout.encoding).lower().startswith("utf")
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=not takes_all) + "\n")


def print_error(error: Exception) -> None:
    """Print an error as one line on standard error."""
    sys.stderr.write("alignrec: " + " ".join(str(error).split()) + "\n")
