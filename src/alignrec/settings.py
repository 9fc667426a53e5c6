"""Typed, frozen settings: documented beside what they set, an unknown key is an error that names the nearest."""

import difflib
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from alignrec.errors import SettingsError
from alignrec.extensions import load_installed

__all__ = ["Settings", "add_configurable", "by_full_name", "find_configurable", "parse_assignments", "split_name"]

T = TypeVar("T")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")  # no dot: names stand in settings, as in plugin.NAME.KEY


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
        if not isinstance(values or {}, Mapping) or not all(isinstance(name, str) for name in values or {}):
            raise SettingsError(f"settings {section or cls.__name__!r} cannot be {values!r}; give names and values")
        try:
            return cls(**dict(values or {}))
        except ValidationError as error:
            raise SettingsError(_explain(cls, error, section)) from None

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_for_number(cls, value: Any, info: ValidationInfo) -> Any:  # Any: user input
        """Pydantic takes true for 1; here it is a value of the wrong kind."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        kinds = (annotation, *get_args(annotation))
        if isinstance(value, bool) and bool not in kinds and (int in kinds or float in kinds):
            raise ValueError("Input should be a number")
        return value


def _explain(cls: type[Settings], error: ValidationError, section: str) -> str:
    errors = error.errors()
    # a name that is misspelt is also one that is missing: the first says more
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
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
    return f"setting {name!r} cannot be {first['input']!r}: {first['msg'].removeprefix('Value error, ')}"


def _innermost(cls: type[BaseModel], path: Iterable[str]) -> type[BaseModel]:
    """The class of the nested settings at `path`, or the deepest one on the way."""
    for part in path:
        if part.isdigit():  # a place in a list, whose items' class is known already
            continue
        inner = cls.model_fields[part].annotation if part in cls.model_fields else None
        inner = next(iter(get_args(inner)), inner)  # of a list[...]
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        cls = inner
    return cls


def parse_assignments(assignments: Iterable[str]) -> dict[str, dict[str, Any]]:  # Any: YAML scalars or lists
    """Turn `["training.lr=1e-3", "plugin.cca.weight=0.1"]` into `{"training": {"lr": 0.001}, ...}`.

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


def split_name(name: str) -> tuple[str, str]:
    """Section and key of a setting's full name: `plugin.cca.weight` is `weight` of `plugin.cca`.

    Raises:
        SettingsError: there is no section.
    """
    section, _, key = name.strip().rpartition(".")
    if not section or not key:
        raise SettingsError(f"setting {name!r} has no section; write SECTION.KEY, as in training.lr")
    return section, key


def by_full_name(sections: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
    """Section -> key -> value as full name -> value: `{"training": {"lr": 0.1}}` is `{"training.lr": 0.1}`."""
    return {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}


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


def add_configurable(
    table: MutableMapping[str, type[T]], kind: str, name: str, cls: type[T], base: type[object]
) -> None:
    """Add a class with settings (`Config`) to `table`, for instance of models, under `name` in lower case.

    A class of the same module and name replaces the one that is there: its code was run again.

    Raises:
        SettingsError: the name is taken or not usable, or `cls` is not a subclass of `base` with a `Config`.
    """
    key = name.lower()
    if not _NAME.fullmatch(key):
        raise SettingsError(f"{kind} name {name!r} is not usable; use letters, digits, '_' and '-'")
    config = getattr(cls, "Config", None)
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise SettingsError(f"{kind} {name!r} cannot be {cls!r}; give a subclass of {base.__module__}.{base.__name__}")
    if not (isinstance(config, type) and issubclass(config, Settings)):
        raise SettingsError(f"{kind} {name!r} has no settings; write Config = CLASS, a subclass of alignrec's Settings")
    there = table.get(key, cls)
    if (there.__module__, there.__qualname__) != (cls.__module__, cls.__qualname__):
        raise SettingsError(f"{kind} {name!r} exists: {there.__module__}.{there.__qualname__}; choose another name")
    table[key] = cls


def find_configurable(table: Mapping[str, type[T]], kind: str, name: str) -> type[T]:
    """The class called `name` (case does not matter) in `table`, which installed extensions may add to.

    Raises:
        SettingsError: there is none; names the nearest.
    """
    key = name.lower()
    if key not in table:
        load_installed()
    if key not in table:
        near = difflib.get_close_matches(key, table, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SettingsError(f"unknown {kind} {name!r}; {hint}allowed: {', '.join(table)}")
    return table[key]
