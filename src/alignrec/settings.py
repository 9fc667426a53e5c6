"""Typed, frozen settings: documented beside what they set, an unknown key is an error that names the nearest."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from alignrec.errors import SettingsError

__all__ = ["Settings", "parse_assignments"]


class Settings(BaseModel):
    """Base of every settings class; fields are immutable and checked, unknown names refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, validate_default=True
    )

    @classmethod
    def create(cls, values: Mapping[str, Any] | None = None, *, section: str = "") -> Self:  # Any: user input
        """Check `values` and make the settings.

        Raises:
            SettingsError: names the key (prefixed by `section`), what was given, and what is allowed.
        """
        try:
            return cls(**dict(values or {}))
        except ValidationError as error:
            raise SettingsError(_explain(cls, error, section)) from None


def _explain(cls: type[Settings], error: ValidationError, section: str) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join([section, *path] if section else path)
    if first["type"] == "extra_forbidden":
        allowed = sorted(_innermost(cls, path[:-1]).model_fields)
        near = difflib.get_close_matches(path[-1], allowed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown setting {name!r}; {hint}allowed: {', '.join(allowed) or 'none'}"
    if first["type"] == "missing":
        return f"setting {name!r} has no default; give it a value"
    if not path:  # a check of several settings together
        return f"settings {section or cls.__name__!r} do not fit together: {first['msg'].removeprefix('Value error, ')}"
    return f"setting {name!r} cannot be {first['input']!r}: {first['msg']}"


def _innermost(cls: type[BaseModel], path: Iterable[str]) -> type[BaseModel]:
    """The class of the nested settings at `path`, or the deepest one on the way."""
    for part in path:
        inner = cls.model_fields[part].annotation if part in cls.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        cls = inner
    return cls


def parse_assignments(assignments: Iterable[str]) -> dict[str, dict[str, Any]]:  # Any: YAML scalars or lists
    """Turn `["training.lr=1e-3", "plugin.fettle.alpha=0.1"]` into `{"training": {"lr": 0.001}, ...}`.

    The part before the last dot is the section. Values are YAML, so `true`, `[1, 2]` and `null` mean
    what they say.

    Raises:
        SettingsError: an assignment without `=` or without a section, or the same key twice.
    """
    sections: dict[str, dict[str, Any]] = {}
    for text in assignments:
        target, equals, value = text.partition("=")
        section, _, key = target.strip().rpartition(".")
        if not equals or not section or not key:
            raise SettingsError(f"cannot read the setting {text!r}; write SECTION.KEY=VALUE, as in training.lr=0.001")
        if key in sections.setdefault(section, {}):
            raise SettingsError(f"setting {target.strip()!r} is given twice; keep one")
        sections[section][key] = _scalar(value)
    return sections


def _scalar(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):  # YAML 1.1 reads 1e-3 as a string
        try:
            return float(value)
        except ValueError:
            return value
    return value
