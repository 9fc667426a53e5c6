"""When two runs are the same: a key of everything that decides a run's numbers, whichever version wrote its plan."""

from dataclasses import replace

from alignrec.artifacts import hash_values
from alignrec.losses import plugin_class
from alignrec.models import model_class
from alignrec.studies.run_folder import PLUGIN_PREFIX, RunPlan
from alignrec.training import TrainingSettings

__all__ = ["run_key", "with_present_settings"]

_KEY_LENGTH = 20  # hexadecimal digits
_IRRELEVANT = ("checkpoint_seconds",)  # settings of training that change no number


def run_key(plan: RunPlan) -> str:
    """The key of a plan; device, threads and versions are not in it, nor is what changes no number."""
    settings = {name: dict(values) for name, values in plan.settings.items()}
    for name in _IRRELEVANT:
        settings["training"].pop(name, None)
    about = {"model": plan.model, "dataset": plan.dataset["hash"], "seed": plan.seed, "settings": settings}
    return hash_values({**about, "features": [list(pair) for pair in plan.features.items()]})[:_KEY_LENGTH]


def with_present_settings(plan: RunPlan) -> RunPlan:
    """A stored plan with settings that came later filled in: their defaults keep what there was before.

    Raises:
        SettingsError: a model, plug-in or setting that is no more.
    """
    settings = {
        "model": model_class(plan.model).Config.create(plan.settings["model"], section="model").model_dump(),
        "training": TrainingSettings.create(plan.settings["training"], section="training").model_dump(),
    }
    for name, values in plan.plugins.items():
        section = PLUGIN_PREFIX + name
        settings[section] = plugin_class(name).Config.create(values, section=section).model_dump()
    return replace(plan, settings=settings)
