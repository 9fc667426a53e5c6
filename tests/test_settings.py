import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError, model_validator

from alignrec.errors import SettingsError
from alignrec.settings import Settings, add_configurable, by_full_name, parse_assignments


class Schedule(Settings):
    decay: float = 1.0
    """Factor per step."""


class Training(Settings):
    lr: float = 1e-3
    epochs: int = 10
    schedule: Schedule = Schedule()


class Switches(Settings):
    on: bool = False
    clip: float | None = None
    either: bool | int = 0


class Bounds(Settings):
    low: int = 0
    high: int

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def test_defaults_hold_where_nothing_is_given():
    assert Training.create() == Training.create({}) == Training(lr=1e-3, epochs=10)


def test_an_unknown_key_names_the_nearest_and_all_allowed():
    with pytest.raises(SettingsError) as caught:
        Training.create({"epoch": 3}, section="training")
    assert str(caught.value) == (
        "unknown setting 'training.epoch'; did you mean 'epochs'? allowed: epochs, lr, schedule"
    )


def test_an_unknown_key_near_to_nothing_only_lists_the_allowed():
    with pytest.raises(SettingsError, match=r"unknown setting 'zzz'; allowed: epochs, lr, schedule$"):
        Training.create({"zzz": 3})


def test_an_unknown_key_of_nested_settings_names_its_neighbours_there():
    with pytest.raises(SettingsError, match=r"'training.schedule.decai'; did you mean 'decay'\? allowed: decay$"):
        Training.create({"schedule": {"decai": 1}}, section="training")


@pytest.mark.parametrize("value", ["many", 1.5, None, [1], True, False])
def test_a_value_of_the_wrong_kind_is_named_with_its_key(value):
    with pytest.raises(SettingsError) as caught:
        Training.create({"epochs": value}, section="training")
    assert str(caught.value).startswith(f"setting 'training.epochs' cannot be {value!r}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_must_be_finite(value):
    with pytest.raises(SettingsError, match=r"training\.lr"):
        Training.create({"lr": value}, section="training")


def test_a_setting_without_default_must_be_given():
    with pytest.raises(SettingsError, match=r"^setting 'x.high' has no default; give it a value$"):
        Bounds.create({"low": 1}, section="x")


def test_a_misspelt_name_is_said_before_what_is_missing_for_it():
    with pytest.raises(SettingsError, match=r"^unknown setting 'x.hihg'; did you mean 'high'\? allowed: high, low$"):
        Bounds.create({"hihg": 1}, section="x")


def test_a_check_of_several_settings_names_the_section():
    with pytest.raises(SettingsError, match=r"settings 'x' do not fit together: .*low is above high"):
        Bounds.create({"low": 2, "high": 1}, section="x")


def test_true_is_a_value_of_switches_and_not_of_numbers():
    assert Switches.create({"on": True, "either": True}) == Switches(on=True, either=True)
    with pytest.raises(SettingsError, match=r"^setting 's.clip' cannot be True: Input should be a number$"):
        Switches.create({"clip": True}, section="s")


@pytest.mark.parametrize("values", [3, ["lr"], {1: 2}])
def test_settings_that_are_not_names_with_values_are_refused_in_one_line(values):
    with pytest.raises(SettingsError, match=r"settings 'training' cannot be .*; give names and values"):
        Training.create(values, section="training")


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Training().lr = 1.0


def test_the_text_under_a_field_is_its_description():
    assert Schedule.model_fields["decay"].description == "Factor per step."


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("0.1", 0.1),
        ("7", 7),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("cos", "cos"),
        ("", None),
        ("a=b", "a=b"),
        ("[1", "[1"),
    ],
)
def test_values_are_read_as_yaml_and_1e_3_is_a_number(text, value):
    assert parse_assignments([f"training.x={text}"]) == {"training": {"x": value}}


def test_sections_gather_their_keys_and_may_be_nested():
    given_ = ["training.lr=1", "plugin.fettle.alpha=2", "training.epochs=3"]
    assert parse_assignments(given_) == {"training": {"lr": 1, "epochs": 3}, "plugin.fettle": {"alpha": 2}}


def test_full_names_are_those_that_assignments_have():
    given_ = ["training.lr=1", "plugin.fettle.item_weight=2", "training.epochs=3"]
    named = by_full_name(parse_assignments(given_))
    assert sorted(f"{name}={value}" for name, value in named.items()) == sorted(given_)


@pytest.mark.parametrize("text", ["lr=1", "training.lr", "training.=1", ".lr=1", "=1", ""])
def test_an_assignment_without_section_key_or_value_is_refused(text):
    with pytest.raises(SettingsError, match=r"write SECTION.KEY=VALUE"):
        parse_assignments([text])


def test_the_same_key_twice_is_refused_even_with_the_same_value():
    with pytest.raises(SettingsError, match=r"'training\.lr' is given twice"):
        parse_assignments(["training.lr=1", "training.lr = 1"])


# a setting is one line of a command; YAML folds what it takes for line breaks, U+0085 and U+2028 among them
ONE_LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))


@given(st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), ONE_LINE))
def test_what_yaml_writes_comes_back(value):
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True).removesuffix("...\n").strip(" \n")
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            pass
        else:
            assume(False)  # the text of a number means the number
    assert parse_assignments([f"s.key={text}"]) == {"s": {"key": value}}


# Classes with settings, by name


class Loss:
    Config = Training


def test_a_class_whose_code_is_run_again_replaces_its_former_self() -> None:
    table: dict[str, type[Loss]] = {}
    add_configurable(table, "loss", "Mine", Loss, Loss)
    again = type("Loss", (Loss,), {"__module__": Loss.__module__})  # a notebook's cell, run twice
    add_configurable(table, "loss", "mine", again, Loss)
    assert table == {"mine": again}


@pytest.mark.parametrize(
    ("name", "cls", "message"),
    [
        ("mine", type("Other", (Loss,), {}), "loss 'mine' exists: test_settings.Loss; choose another name"),
        ("my loss", Loss, "loss name 'my loss' is not usable; use letters, digits, '_' and '-'"),
        ("new", dict, "loss 'new' cannot be <class 'dict'>; give a subclass of test_settings.Loss"),
        (
            "new",
            type("Bare", (Loss,), {"Config": None}),
            "loss 'new' has no settings; write Config = CLASS, a subclass ",
        ),
    ],
)
def test_a_class_that_cannot_be_added_is_refused_in_one_line(name: str, cls: type[Loss], message: str) -> None:
    table = {"mine": Loss}
    with pytest.raises(SettingsError) as refused:
        add_configurable(table, "loss", name, cls, Loss)
    assert str(refused.value).replace(__name__, "test_settings").startswith(message)
    assert table == {"mine": Loss}
