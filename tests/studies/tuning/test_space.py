import pytest

from alignrec.errors import SettingsError
from alignrec.losses import PLUGINS
from alignrec.models import MODELS
from alignrec.studies.tuning.space import Choices, Range, build_space
from alignrec.training import TrainingSettings


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_list_and_its_settings_take_every_value_in_it(model):
    cls = MODELS[model]
    sections = {"model": cls.Config, "training": TrainingSettings}
    assert cls.search_space
    for name, values in cls.search_space.items():
        section, _, key = name.partition(".")
        assert len(set(values)) == len(values) > 1
        assert [getattr(sections[section].create({key: value}), key) for value in values] == list(values)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_every_plugin_has_a_list_and_its_settings_take_every_value_in_it(plugin):
    cls = PLUGINS[plugin]
    assert cls.search_space
    for key, values in [*cls.search_space.items(), *cls.search_space_of_ids.items()]:
        assert len(set(values)) == len(values) > 1
        assert [getattr(cls.Config.create({key: value}), key) for value in values] == list(values)


@pytest.mark.parametrize("name", [*MODELS, *PLUGINS])
def test_what_runs_without_tuning_is_one_of_the_values_tuning_tries(name):
    for table, section in ((MODELS, "model."), (PLUGINS, "")):
        if name in table:
            defaults = table[name].Config().model_dump()
            tried = {
                key.removeprefix(section): v for key, v in table[name].search_space.items() if "training" not in key
            }
            assert {key: defaults[key] for key in tried if defaults[key] not in tried[key]} == {}


def test_alignrecs_default_space_is_the_grid_of_its_paper():
    space = build_space("alignrec", [], {}, {})
    assert space.as_json() == {"model.reg_weight": [0.1, 0.2, 0.3], "training.lr": [3e-4, 1e-4]}
    assert space.size == 6


def test_what_is_fixed_leaves_the_space_and_what_is_named_replaces_its_list():
    fixed = {"model": {"n_layers": 3}}
    space = build_space("lightgcn", [], fixed, {"model.reg_weight": [1, 2], "training.lr": [0.1]})
    assert space.as_json() == {"model.reg_weight": [1.0, 2.0], "training.lr": [0.1]}
    point = {"model.reg_weight": 2.0, "training.lr": 0.1}
    assert space.sections(point) == {"model": {"n_layers": 3, "reg_weight": 2.0}, "training": {"lr": 0.1}}


def test_a_plugins_lists_carry_its_section_and_are_left_out_with_the_models():
    assert list(build_space("bpr", ["UIA"], {}, {}).axes) == ["model.reg_weight", "plugin.uia.weight"]
    only = build_space("bpr", ["uia"], {}, {"plugin.uia.weight": [0.5, 0.1]}, defaults=False)
    assert only.as_json() == {"plugin.uia.weight": [0.5, 0.1]}


def test_fettle_searches_larger_weights_with_a_model_that_knows_ids_only():
    of_ids, of_content = (build_space(model, ["fettle"], {}, {}).as_json() for model in ("lightgcn", "freedom"))
    for weight in ("plugin.fettle.item_weight", "plugin.fettle.cluster_weight"):
        assert of_content[weight] == [1e-4, 1e-3, 1e-2]
        assert of_ids[weight] == [1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0]
    assert of_ids["plugin.fettle.cluster_temperature"] == of_content["plugin.fettle.cluster_temperature"]


def test_a_grid_moves_the_last_axis_fastest_and_leaves_out_what_does_not_fit_together():
    lists = {"plugin.bma.intra_weight": [0, 0.1], "plugin.bma.inter_weight": [0, 0.2]}
    space = build_space("bpr", ["bma"], {}, lists, defaults=False)
    assert [tuple(point.values()) for point in space.grid()] == [(0.0, 0.2), (0.1, 0.0), (0.1, 0.2)]
    assert space.size == 4
    assert "both weights are 0" in (space.misfit(dict.fromkeys(lists, 0.0)) or "")


def test_a_setting_that_is_a_mapping_can_be_searched():
    weights = [{"image": 0.1, "text": 0.9}, {"image": 0.3, "text": 0.7}]
    space = build_space("freedom", [], {}, {"model.modality_weights": weights}, defaults=False)
    assert [point["model.modality_weights"] for point in space.grid()] == weights


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("training.lr", "log:1e-4..1e-2", Range(1e-4, 1e-2, log=True, whole=False)),
        ("model.reg_weight", "0..1", Range(0.0, 1.0, log=False, whole=False)),
        ("model.n_layers", "1..4", Range(1, 4, log=False, whole=True)),
        ("training.batch_size", "log:128..4096", Range(128, 4096, log=True, whole=True)),
    ],
)
def test_a_range_is_of_whole_numbers_where_the_setting_is(name, text, expected):
    space = build_space("lightgcn", [], {}, {name: text}, defaults=False)
    assert space.axes == {name: expected}
    assert space.size is None
    again = build_space("lightgcn", [], {}, space.as_json(), defaults=False)
    assert again.axes == space.axes


def test_a_grid_has_no_ranges():
    space = build_space("lightgcn", [], {}, {"training.lr": "0.1..0.2"})
    with pytest.raises(SettingsError, match=r"a grid needs lists and training\.lr is the range 0\.1\.\.0\.2; write"):
        list(space.grid())


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("model.n_layer", [1], r"unknown setting 'model\.n_layer'; did you mean 'n_layers'"),
        ("n_layers", [1], "cannot search 'n_layers'; write SECTION.KEY with a section of: model, training"),
        ("plugin.uia.weight", [1], r"cannot search 'plugin\.uia\.weight'"),
        ("model.n_layers", [1, -1], r"setting 'model\.n_layers' cannot be -1"),
        ("model.n_layers", [1, 1.0], r"model\.n_layers is to be 1 twice"),
        ("model.n_layers", [], "write a list"),
        ("model.n_layers", 3, "write a list"),
        ("model.n_layers", "1-4", r"cannot read the range '1-4' of model\.n_layers; write low\.\.high"),
        ("model.n_layers", "4..1", "cannot read the range"),
        ("model.n_layers", "0.5..2", r"setting 'model\.n_layers' cannot be 0\.5"),
        ("training.lr", "0..1", r"setting 'training\.lr' cannot be 0\.0"),
        ("model.reg_weight", "log:0..1", "needs a number above 0"),
        ("training.metric", ["recall@10"], "give --metric"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(name, values, message):
    with pytest.raises(SettingsError, match=message):
        build_space("lightgcn", [], {}, {name: values})


def test_the_order_in_which_plugins_are_named_does_not_change_the_space():
    one, other = (build_space("lightgcn", names, {}, {}) for names in (["uia", "cca"], ["cca", "uia"]))
    assert list(one.as_json()) == list(other.as_json())


def test_a_setting_is_fixed_or_searched_not_both():
    with pytest.raises(SettingsError, match=r"'model\.n_layers' is fixed and searched; leave out one"):
        build_space("lightgcn", [], {"model": {"n_layers": 1}}, {"model.n_layers": [1, 2]})


def test_a_space_without_axes_or_without_points_is_refused():
    with pytest.raises(SettingsError, match="nothing to search"):
        build_space("lightgcn", [], {}, {}, defaults=False)
    nothing = {"plugin.bma.intra_weight": [0], "plugin.bma.inter_weight": [0]}
    with pytest.raises(SettingsError, match=r"no point of the search fits together: .*both weights are 0"):
        build_space("bpr", ["bma"], {}, nothing, defaults=False)


def test_a_list_is_kept_as_the_setting_holds_it():
    space = build_space("lightgcn", [], {}, {"training.gradient_clip": [None, "1e-1", 2]}, defaults=False)
    assert space.axes == {"training.gradient_clip": Choices((None, 0.1, 2.0))}
