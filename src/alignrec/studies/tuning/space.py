"""What a search varies: settings by their full names, each with a list of values or a range.

The lists a model and its plug-ins are published with stand beside their settings (`search_space`) and are the default.
A setting that is fixed leaves the space; one that is named anew replaces its list.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from alignrec.errors import SettingsError
from alignrec.losses import plugin_class
from alignrec.models import model_class
from alignrec.settings import Settings, by_full_name
from alignrec.studies.run_folder import PLUGIN_PREFIX
from alignrec.studies.run_planning import Sections
from alignrec.training import TrainingSettings

__all__ = ["Choices", "Parameters", "Range", "Space", "build_space"]

Parameters = Mapping[str, Any]  # full name of a setting -> its value
_METRIC = "training.metric"


@dataclass(frozen=True)
class Choices:
    """A list of different values."""

    values: tuple[Any, ...]  # JSON values, as the settings hold them

    def as_json(self) -> Any:
        """For tune.json."""
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool  # whether equal ratios, rather than equal differences, are equally likely
    whole: bool  # whether the setting takes whole numbers only

    def as_json(self) -> Any:
        """For tune.json; as it is written on the command line."""
        return f"{'log:' if self.log else ''}{self.low!r}..{self.high!r}"


@dataclass(frozen=True)
class Space:
    """Axes of the search and what is fixed beside them."""

    axes: Mapping[str, Choices | Range]  # full name of a setting -> what it may be
    fixed: Sections
    classes: Mapping[str, type[Settings]]  # section -> the class that reads it

    @property
    def size(self) -> int | None:
        """Points of the grid, those that do not fit together among them; None if an axis is a range."""
        lists = [axis for axis in self.axes.values() if isinstance(axis, Choices)]
        return math.prod(len(axis.values) for axis in lists) if len(lists) == len(self.axes) else None

    def grid(self) -> Iterator[dict[str, Any]]:
        """All points that fit together, the last axis moving fastest.

        Raises:
            SettingsError: an axis is a range.
        """
        for name, axis in self.axes.items():
            if isinstance(axis, Range):
                raise SettingsError(
                    f"a grid needs lists and {name} is the range {axis.as_json()}; "
                    "write [a, b, c], or take --sampler random or tpe"
                )
        lists = [axis.values for axis in self.axes.values() if isinstance(axis, Choices)]
        for values in itertools.product(*lists):
            point = dict(zip(self.axes, values, strict=True))
            if self.misfit(point) is None:
                yield point

    def sections(self, parameters: Parameters) -> dict[str, dict[str, Any]]:
        """Everything that is given to a run: what is fixed, and the point `parameters`."""
        found = {section: dict(values) for section, values in self.fixed.items()}
        for name, value in parameters.items():
            section, _, key = name.rpartition(".")
            found.setdefault(section, {})[key] = value
        return found

    def misfit(self, parameters: Parameters) -> str | None:
        """Why the settings at a point do not fit together; None if they do."""
        sections = self.sections(parameters)
        try:
            for section, cls in self.classes.items():
                cls.create(sections.get(section), section=section)
        except SettingsError as error:
            return str(error)
        return None

    def as_json(self) -> dict[str, Any]:
        """For tune.json: the axes."""
        return {name: axis.as_json() for name, axis in self.axes.items()}


def build_space(
    model: str,
    plugins: Sequence[str],
    fixed: Sections,
    asked: Mapping[str, Any],  # Any: lists of JSON values, or ranges in words
    *,
    defaults: bool = True,
) -> Space:
    """The space of a model with plug-ins.

    Args:
        model: name of a backbone.
        plugins: names of plug-ins.
        fixed: settings that are the same in every trial; they leave the default space.
        asked: full name of a setting -> a list of values, or `low..high` or `log:low..high`; added to the default
            space or in place of its list.
        defaults: whether the lists of the model and the plug-ins are searched at all.

    Raises:
        SettingsError: no such model, plug-in or setting; a value it cannot have; a setting that is fixed as well;
            nothing to search, or nothing that fits together.
    """
    cls = model_class(model)
    attached = {PLUGIN_PREFIX + name.lower(): plugin_class(name) for name in sorted(plugins)}
    classes: dict[str, type[Settings]] = {"model": cls.Config, "training": TrainingSettings}
    classes |= {section: plugin.Config for section, plugin in attached.items()}
    given: dict[str, Any] = dict(cls.search_space) if defaults else {}
    if defaults:
        of_ids = not cls.needs_features
        lists = {
            section: {**plugin.search_space, **(plugin.search_space_of_ids if of_ids else {})}
            for section, plugin in attached.items()
        }
        given |= by_full_name(lists)
    taken = by_full_name(fixed).keys()
    both = sorted(taken & set(asked))
    if both:
        raise SettingsError(f"setting {both[0]!r} is fixed and searched; leave out one of --set and --space")
    wanted = {name: values for name, values in given.items() if name not in taken} | dict(asked)
    if not wanted:
        raise SettingsError("nothing to search; name a setting, as in --space training.lr=[0.001,0.0003]")
    space = Space({name: _axis(name, values, classes) for name, values in wanted.items()}, fixed, classes)
    if space.size is not None and next(space.grid(), None) is None:
        reason = space.misfit({name: axis.values[0] for name, axis in space.axes.items() if isinstance(axis, Choices)})
        raise SettingsError(f"no point of the search fits together: {reason}")
    return space


def _axis(name: str, given: Any, classes: Mapping[str, type[Settings]]) -> Choices | Range:
    section, _, key = name.rpartition(".")
    if section not in classes or not key:
        raise SettingsError(f"cannot search {name!r}; write SECTION.KEY with a section of: {', '.join(classes)}")
    if name == _METRIC:
        raise SettingsError(f"{_METRIC} is what trials are compared by and cannot be searched; give --metric")
    if key not in classes[section].model_fields:
        classes[section].create({key: None}, section=section)  # raises, and names the nearest
    reads = _Reader(name, classes[section], key)
    if isinstance(given, str):
        return reads.range(given)
    if not isinstance(given, Sequence) or not given:
        raise SettingsError(
            f"cannot search {name} over {given!r}; write a list, as in [0.1, 0.01], or a range, as in log:1e-4..1e-2"
        )
    values = [reads.value(value) for value in given]
    twice = next((value for number, value in enumerate(values) if _same(value, values[:number])), None)
    if twice is not None:
        raise SettingsError(f"{name} is to be {twice!r} twice; name every value once")
    return Choices(tuple(values))


def _same(value: Any, others: Sequence[Any]) -> bool:
    return json.dumps(value) in map(json.dumps, others)


class _Reader:
    """Reads values of one setting."""

    def __init__(self, name: str, cls: type[Settings], key: str) -> None:
        self._name = name
        self._annotation = cls.model_fields[key].rebuild_annotation()
        self._adapter: TypeAdapter[Any] = TypeAdapter(self._annotation, config=ConfigDict(allow_inf_nan=False))

    def value(self, value: Any) -> Any:
        """The value as the setting holds it, so that 1 and 1.0 are one."""
        try:
            return self._adapter.dump_python(self._adapter.validate_python(value), mode="json")
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            raise SettingsError(f"setting {self._name!r} cannot be {value!r}: {message}") from None

    def range(self, text: str) -> Range:
        low_text, dots, high_text = text.removeprefix("log:").partition("..")
        try:
            low, high = float(low_text), float(high_text)
        except ValueError:
            low = high = math.nan
        if not dots or not low < high:
            form = "write low..high or log:low..high, as in log:1e-4..1e-2"
            raise SettingsError(f"cannot read the range {text!r} of {self._name}; {form}")
        log = text.startswith("log:")
        if log and low <= 0:
            raise SettingsError(f"the range {text} of {self._name} begins at {low:g}; log: needs a number above 0")
        first, last = self.value(low), self.value(high)
        if any(isinstance(bound, bool) or not isinstance(bound, int | float) for bound in (first, last)):
            raise SettingsError(f"setting {self._name!r} is not a number; give a list of values")
        return Range(first, last, log, whole=isinstance(first, int) and isinstance(last, int))
