"""How commands print: tables for people, one JSON object for machines (`--json`), errors in one line on stderr."""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["JsonFlag", "plain_console", "print_error", "print_json"]

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def plain_console() -> "Console":
    """A console that shows titles, ids and paths as they are: `[M]` and `:baby:` in them are no instructions to it."""
    from rich.console import Console

    return Console(markup=False, emoji=False)


def print_json(value: Mapping[str, Any]) -> None:  # Any: JSON values
    """Print `value` as one JSON object on standard output."""
    takes_all = str(sys.stdout.encoding).lower().startswith("utf")
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=not takes_all) + "\n")


def print_error(error: Exception) -> None:
    """Print an error as one line on standard error."""
    sys.stderr.write("alignrec: " + " ".join(str(error).split()) + "\n")
