"""The guide tells the truth: its cards name the settings of the code, its commands exist, its links lead somewhere."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from alignrec.cli.app import app
from alignrec.extensions import import_extensions
from alignrec.losses.registry import PLUGINS
from alignrec.models.registry import MODELS
from alignrec.settings import Settings, parse_assignments
from alignrec.training.recommender import TrainingSettings

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "guide"
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md", *sorted(GUIDE.rglob("*.md"))]
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


def anchor_of(heading: str) -> str:
    """As GitHub and the site make it: small letters, no punctuation, dashes for blanks."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
            file = page.parent / target if target else page
            assert file.is_file(), f"{page.name} links to {target}"
            headings = {anchor_of(heading) for heading in sections(file)} if anchor else set()
            assert not anchor or anchor in headings, f"{page.name} links to {target}#{anchor}"


def test_every_package_has_a_page_made_of_its_docstrings() -> None:
    api, source = ROOT / "docs" / "api", ROOT / "src" / "alignrec"
    packages = {
        path.stem for path in source.iterdir() if not path.name.startswith(("_", ".")) and path.name != "py.typed"
    }
    pages = {page.stem: page.read_text(encoding="utf-8") for page in api.glob("*.rst")}
    assert set(pages) == packages - {"cli"}
    assert all(f".. automodule:: alignrec.{name}\n" in text for name, text in pages.items())


# The commands of all pages


def commands_in(page: Path) -> Iterator[list[str]]:
    """The words after `alignrec` of every command in a block of code, without its comment and what it is piped to."""
    fenced = False
    for line in re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8")).splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced and (found := re.match(r"(?:\S+=\S+ |timeout [^a]*)?alignrec (.*)", line)):
            yield shlex.split(re.split(r" [|>&]", found[1])[0], comments=True)


def parsed(words: list[str]) -> tuple[str, dict[str, Any]]:  # Any: values of options
    """The command and its options as the command line reads them; nothing is run."""
    command, name = typer.main.get_command(app), "alignrec"
    context = None
    while True:
        context = command.make_context(name, words, parent=context)
        if not isinstance(command, TyperGroup):
            return context.command_path.removeprefix("alignrec "), context.params
        found, inner, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert inner is not None
        assert found is not None
        name, command = found, inner


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which no dataset is yet, as some options look."""
    monkeypatch.chdir(tmp_path)


COMMANDS = [pytest.param(words, id=f"{page.name}: {' '.join(words)}") for page in PAGES for words in commands_in(page)]


@pytest.mark.usefixtures("elsewhere", "forgotten_extensions")
@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_exists_with_its_options_models_and_settings(words: list[str]) -> None:
    if words[:1] == ["--import"]:
        import_extensions([str(ROOT / words[1])])
    command, options = parsed(words)
    if command == "train" and not options["from_run"]:
        require_settings(options)


def require_settings(options: Mapping[str, Any]) -> None:  # Any: values of options
    plugins = {f"plugin.{name}": PLUGINS[name].Config for name in options["plugin"] or ()}
    configs = {"model": MODELS[options["model"]].Config, "training": TrainingSettings, **plugins}
    for section, values in parse_assignments(options["assignments"] or ()).items():
        configs[section].create(values, section=section)


def test_commands_are_found_across_lines_and_without_comments(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "alignrec no\n```\nalignrec train a \\\n    --out 'b c'   # d\n```\n```python\nx\n```\nalignrec no\n"
    )
    assert list(commands_in(page)) == [["train", "a", "--out", "b c"]]


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("words", ["train a --model bpr --out b --rate 1", "trian a", "train a --model bpr"])
def test_what_the_command_line_does_not_know_is_noticed(words: str) -> None:
    with pytest.raises(Exception, match=r"No such option|No such command|Missing parameter"):
        parsed(words.split())


def read(name: str) -> str:
    return (GUIDE / name).read_text(encoding="utf-8")
