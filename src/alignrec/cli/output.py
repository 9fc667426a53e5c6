"""How commands print: tables for people, one JSON object for machines (`--json`), errors in one line on stderr."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

__all__ = ["JsonFlag", "print_error", "print_json"]

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def print_json(value: Mapping[str, Any]) -> None:  # Any: JSON values
    """Print `value` as one JSON object on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_error(error: Exception) -> None:
    """Print an error as one line on standard error."""
    sys.stderr.write("alignrec: " + " ".join(str(error).split()) + "\n")
