"""The guide has a card for every model and a section for every plug-in, and their settings are those of the code."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from alignrec.losses.registry import PLUGINS
from alignrec.models.registry import MODELS
from alignrec.settings import Settings, parse_assignments
from alignrec.training.recommender import TrainingSettings

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide"
SETTING = re.compile(r"^\| `([\w.]+)` \| `([^`]*)` \| \S.* \|$", re.MULTILINE)
ASSIGNMENT = re.compile(r"--set (?:'([^']+)'|(\S+))")
LINK = re.compile(r"\]\(([^)#:\s]*)(?:#([\w-]+))?\)")


def settings_in(text: str) -> dict[str, Any]:  # Any: a default of any type
    """Setting -> default in the order of the table, read as `--set` would read it."""
    return {name: parse_assignments([f"card.value={shown}"])["card"]["value"] for name, shown in SETTING.findall(text)}


def assignments_in(text: str) -> dict[str, dict[str, Any]]:  # Any: values of any type
    return parse_assignments(quoted or plain for quoted, plain in ASSIGNMENT.findall(text))


def defaults_of(config: type[Settings]) -> dict[str, Any]:
    return {name: field.default for name, field in config.model_fields.items()}


def sections(page: Path) -> Mapping[str, str]:
    parts = re.split(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_the_card_of_a_model_names_its_settings_with_their_defaults(name: str) -> None:
    model = MODELS[name]
    training = {f"training.{key}": value for key, value in model.training_defaults.items()}
    card = (GUIDE / "models" / f"{name}.md").read_text(encoding="utf-8")
    shown = settings_in(card)
    assert list(shown.items()) == list((defaults_of(model.Config) | training).items())
    assert f"--model {name} " in card


@pytest.mark.parametrize("name", PLUGINS)
def test_the_section_of_a_plugin_names_its_settings_with_their_defaults(name: str) -> None:
    section = sections(GUIDE / "plugins.md")[name]
    assert list(settings_in(section).items()) == list(defaults_of(PLUGINS[name].Config).items())
    assert f"--plugin {name} " in section


def test_the_index_has_a_row_for_every_model_and_plugin_and_says_what_it_knows() -> None:
    rows = re.findall(r"^\| (?:plug-in )?\[(\w+)\]\(([^)]+)\) \| .+? \| (\S+) \| ", read("models.md"), re.MULTILINE)
    models = {(name, f"models/{name}.md", model.needs_features) for name, model in MODELS.items()}
    listed = {(name, target, knows == "ids+content") for name, target, knows in rows if "#" not in target}
    assert listed == models
    assert {target for _, target, _ in rows if "#" in target} == {f"plugins.md#{name}" for name in PLUGINS}
    assert len(rows) == len(MODELS) + len(PLUGINS)


@pytest.mark.parametrize("name", MODELS)
def test_the_command_of_a_card_gives_settings_that_exist(name: str) -> None:
    sections_of_settings = {"model": MODELS[name].Config, "training": TrainingSettings}
    for section, values in assignments_in(read(f"models/{name}.md")).items():
        sections_of_settings[section].create(values, section=section)


@pytest.mark.parametrize("name", PLUGINS)
def test_the_command_of_a_plugins_section_gives_settings_that_exist(name: str) -> None:
    for section, values in assignments_in(sections(GUIDE / "plugins.md")[name]).items():
        assert section == f"plugin.{name}"
        PLUGINS[name].Config.create(values, section=section)


def test_no_card_is_left_of_a_model_that_is_gone() -> None:
    assert {page.stem for page in (GUIDE / "models").glob("*.md")} == set(MODELS)
    assert set(sections(GUIDE / "plugins.md")) == set(PLUGINS)


def test_every_link_of_the_cards_leads_somewhere() -> None:
    for page in [GUIDE / "models.md", GUIDE / "plugins.md", *(GUIDE / "models").glob("*.md")]:
        for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
            file = page.parent / target if target else page
            assert file.is_file(), f"{page.name} links to {target}"
            headings = {heading.lower().replace(" ", "-") for heading in sections(file)} if anchor else set()
            assert not anchor or anchor in headings, f"{page.name} links to {target}#{anchor}"


def read(name: str) -> str:
    return (GUIDE / name).read_text(encoding="utf-8")
