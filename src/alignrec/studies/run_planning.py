"""From what was asked for to a run's plan: names checked, settings resolved, features hashed. Nothing is trained."""

import inspect
import operator
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import torch

from alignrec.artifacts import hash_values
from alignrec.data import Dataset
from alignrec.errors import SettingsError
from alignrec.losses import PLUGINS, plugin_class
from alignrec.models import model_class
from alignrec.studies.run_folder import PLUGIN_PREFIX, RunPlan
from alignrec.training import TrainingSettings

__all__ = ["Sections", "code_hashes", "plan_run"]

Sections = Mapping[str, Mapping[str, Any]]  # Any: values of settings


def plan_run(
    data: Dataset,
    model: str,
    features: Sequence[str],
    plugins: Sequence[str],
    settings: Sections,
    seed: int,
    device: torch.device,
    threads: int,
) -> RunPlan:
    """Resolve what was asked for: every default filled in, features by the hash of their values.

    Raises:
        SettingsError: unknown model, plug-in or setting, or settings that nothing reads.
        FeatureError: the dataset has no such features.
    """
    _refuse_ill_typed(features, plugins, settings)
    seed, threads = _whole("seed", seed), _whole("threads", threads)
    cls = model_class(model)
    config = cls.Config.create(settings.get("model"), section="model")
    training = {**cls.training_defaults, **settings.get("training", {})}
    return RunPlan(
        model=model.lower(),
        dataset={"name": data.name, "hash": data.content_hash},
        features={name: data.features(name).content_hash for name in features},
        settings={
            "model": config.model_dump(),
            "training": TrainingSettings.create(training, section="training").model_dump(),
            **_plugin_sections(settings, plugins),
        },
        seed=seed,
        device=str(device),
        threads=threads,
        code=code_hashes(model, plugins),
    )


def _refuse_ill_typed(features: Sequence[str], plugins: Sequence[str], settings: Mapping[str, object]) -> None:
    for kind, names in (("features", features), ("plugins", plugins)):
        if isinstance(names, str):
            raise SettingsError(f"{kind} cannot be the single string {names!r}; give a list of names")
        if isinstance(names, Mapping):
            raise SettingsError(f"{kind} cannot be a mapping; give a list of names, and settings by 'settings'")
        other = next((type(each).__name__ for each in list[object](names) if not isinstance(each, str)), None)
        if other:
            how = "; a table is saved first: alignrec.features.save_features(dataset.path / 'features', table)"
            raise SettingsError(
                f"{kind} are called by their names, not by a {other}{how if kind == 'features' else ''}"
            )
    twice = [name for name, count in Counter(features).items() if count > 1]
    if twice:
        raise SettingsError(f"features {twice[0]!r} are named {Counter(features)[twice[0]]} times; name them once")
    for section, values in settings.items():
        if not isinstance(values, Mapping):
            first, dot, rest = section.partition(".")
            form = {first: {rest: values}} if dot else "names and values"
            raise SettingsError(f"settings {section!r} cannot be {values!r}; give {form}")


def _whole(name: str, value: object) -> int:
    """The number, of whatever type that counts as whole, such as NumPy's."""
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        return operator.index(value)
    raise SettingsError(f"{name} cannot be {value!r}; give a whole number")


def code_hashes(model: str, plugins: Sequence[str]) -> dict[str, str]:
    """Hash of the code of the model and plug-ins that are not of this package: other code makes another run."""
    classes = {"model": model_class(model)} | {PLUGIN_PREFIX + name.lower(): plugin_class(name) for name in plugins}
    foreign = {name: cls for name, cls in sorted(classes.items()) if cls.__module__.split(".")[0] != "alignrec"}
    return {name: hash_values({"source": _source(cls)}) for name, cls in foreign.items()}


def _source(cls: type) -> str:
    """Of the module of `cls`, if it is a file, else of the class; empty where neither is known, as in a plain shell."""
    module = sys.modules.get(cls.__module__)
    for unit in (cls,) if module is None else (module, cls):
        try:
            return inspect.getsource(unit)
        except (OSError, TypeError):  # typed in, not read from a file
            continue
    return ""


def _plugin_sections(settings: Sections, plugins: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The resolved settings of every plug-in, in the order of their names; refuses sections that nothing reads."""
    names = sorted(name.lower() for name in plugins)
    classes = {name: plugin_class(name) for name in names}
    twice = next((name for name in classes if names.count(name) > 1), None)
    if twice:
        raise SettingsError(f"plugin {twice!r} is named {names.count(twice)} times; name it once")
    sections = {PLUGIN_PREFIX + name: cls for name, cls in classes.items()}
    allowed = ["model", "training", *sections]
    for section in sorted(set(settings) - set(allowed)):
        name = section.removeprefix(PLUGIN_PREFIX)
        if name in PLUGINS and name != section:
            raise SettingsError(f"settings are given for plugin {name!r}, which is not attached; add --plugin {name}")
        raise SettingsError(f"unknown section {section!r} of settings; allowed: {', '.join(allowed)}")
    return {
        section: cls.Config.create(settings.get(section), section=section).model_dump()
        for section, cls in sections.items()
    }
