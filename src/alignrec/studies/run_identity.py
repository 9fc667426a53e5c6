"""When two runs are the same: a key of everything that decides a run's numbers, whichever version wrote its plan."""

from dataclasses import replace

from alignrec.artifacts import hash_values
from alignrec.losses import PLUGINS
from alignrec.models import MODELS
from alignrec.settings import Settings
from alignrec.studies.run_folder import PLUGIN_PREFIX, RunPlan
from alignrec.training import TrainingSettings

__all__ = ["run_key", "with_present_settings"]

_KEY_LENGTH = 20  # hexadecimal digits


def run_key(plan: RunPlan) -> str:
    """The key of a plan; device, threads and versions are not in it, nor is what changes no number."""
    about = {"model": plan.model, "dataset": plan.dataset["hash"], "seed": plan.seed}
    about |= {"settings": plan.effective_settings}
    if plan.code:  # absent in the plans of built-in models, whose keys were made before there was such a thing
        about["code"] = dict(plan.code)
    return hash_values({**about, "features": [list(pair) for pair in plan.features.items()]})[:_KEY_LENGTH]


def with_present_settings(plan: RunPlan) -> RunPlan:
    """A stored plan with settings that came later filled in: their defaults keep what there was before.

    The settings of a model or plug-in that is not known here, one of somebody's own, stay as they were stored.

    Raises:
        SettingsError: a setting that is no more.
    """
    settings = {}
    for section, values in plan.settings.items():
        config = _config(section, plan.model)
        settings[section] = config.create(values, section=section).model_dump() if config else dict(values)
    return replace(plan, settings=settings)


def _config(section: str, model: str) -> type[Settings] | None:
    if section == "training":
        return TrainingSettings
    cls = MODELS.get(model) if section == "model" else PLUGINS.get(section.removeprefix(PLUGIN_PREFIX))
    return cls.Config if cls else None
