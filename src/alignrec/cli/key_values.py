"""The option `--set KEY=VALUE` of commands whose settings have one section only."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from alignrec.errors import SettingsError

__all__ = ["SetOption", "parse_key_values"]

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting; may be repeated. An unknown key lists the known."),
]


def parse_key_values(texts: Sequence[str], section: str) -> dict[str, Any]:  # Any: YAML scalars or lists
    """The settings of `section` written as KEY=VALUE; SECTION.KEY=VALUE is understood too.

    Raises:
        SettingsError: a text without `=`, the same key twice, or a key of another section.
    """
    from alignrec.settings import parse_assignments  # pydantic

    own = section + "."
    for text in texts:
        key, equals, _ = text.removeprefix(own).partition("=")
        if not equals or not key.strip() or "." in key:
            raise SettingsError(f"cannot read the setting {text!r}; write KEY=VALUE, a key of {section}")
    return parse_assignments(own + text.removeprefix(own) for text in texts).get(section, {})
