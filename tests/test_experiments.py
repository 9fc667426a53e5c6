"""The studies in experiments/ say what can be run: every name and setting in them exists."""

from pathlib import Path

import pytest

from alignrec.losses import plugin_class
from alignrec.models import model_class
from alignrec.studies.study_settings import load_study, sections
from alignrec.training import TrainingSettings

FILES = sorted((Path(__file__).parents[1] / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_model_plugin_and_setting_of_a_study_exists(file):
    for _, row in load_study(file).expanded():
        classes = {"model": model_class(row.model).Config, "training": TrainingSettings}
        classes |= {f"plugin.{name}": plugin_class(name).Config for name in row.plugins}
        found = sections(row.settings)
        assert set(found) <= set(classes), "settings of a plug-in that is not attached"
        for section, values in found.items():
            classes[section].create(values, section=section)


def test_there_are_studies():
    assert FILES
