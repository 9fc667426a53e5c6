import pytest

from alignrec.errors import DataError, SettingsError
from alignrec.studies.study_settings import StudySettings, load_study, sections

SMALL = {"name": "n", "datasets": {"shop": "data/shop"}, "rows": [{"model": "bpr"}]}


def study(**changed):
    return StudySettings.create({**SMALL, **changed}, section="study.yaml")


def test_axes_make_a_row_for_every_combination_and_the_row_s_own_settings_win():
    rows = study(
        rows=[
            {"model": "lightgcn", "label": "L", "settings": {"training.lr": 0.1}, "axes": {"model.n_layers": [1, 2]}}
        ],
        settings={"training.lr": 0.5, "training.epochs": 3},
        axes={"model.reg_weight": [0, 1]},
    ).expanded()
    assert [label for label, _ in rows] == [
        f"L (reg_weight={reg}, n_layers={layers})" for reg in (0, 1) for layers in (1, 2)
    ]
    assert rows[-1][1].settings == {
        "training.lr": 0.1, "training.epochs": 3, "model.reg_weight": 1, "model.n_layers": 2,
    }  # fmt: skip


def test_a_row_without_label_is_called_by_what_it_is_made_of():
    row = {"model": "freedom", "features": ["pixels", "tfidf"], "plugins": ["fettle"]}
    assert [label for label, _ in study(rows=[row]).expanded()] == ["freedom [pixels, tfidf] + fettle"]


def test_features_may_differ_by_dataset():
    row = study(datasets={"a": "x", "b": "y"}, rows=[{"model": "vbpr", "features": {"a": ["f"]}}]).rows[0]
    assert (row.features_on("a"), row.features_on("b")) == (["f"], [])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sedes": [1]}, r"unknown setting 'study.yaml.sedes'; did you mean 'seeds'\?"),
        ({"rows": [{"modle": "bpr"}]}, r"did you mean 'model'\?"),
        ({"rows": []}, "rows"),
        ({"datasets": {}}, "there is no dataset"),
        ({"seeds": [1, 1]}, "a seed is there twice"),
        ({"rows": [{"model": "bpr", "datasets": ["other"]}]}, "row 'bpr' names dataset 'other'; there are: shop"),
        ({"baseline": "pop"}, "no row is called 'pop', the baseline; there are: bpr"),
        ({"rows": [{"model": "bpr"}, {"model": "bpr"}]}, "two rows are called 'bpr'"),
        ({"rows": [{"model": "bpr", "axes": {"training.lr": []}}]}, "axis training.lr has no value"),
        ({"axes": {"training.lr": []}}, "axis training.lr has no value"),
        ({"rows": [{"model": "bpr", "datasets": []}]}, "at least 1 item"),
    ],
)
def test_a_study_that_does_not_fit_is_refused(changed, message):
    with pytest.raises(SettingsError, match=message):
        study(**changed)


def test_settings_are_sorted_into_their_sections():
    found = sections({"training.lr": 1, "plugin.fettle.item_weight": 2, "training.epochs": 3})
    assert found == {"training": {"lr": 1, "epochs": 3}, "plugin.fettle": {"item_weight": 2}}
    with pytest.raises(SettingsError, match="setting 'lr' has no section"):
        sections({"lr": 1})


def test_a_file_is_read_and_datasets_can_be_elsewhere(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("name: n\ndatasets: {a: one, b: two}\nrows: [{model: bpr}]\n")
    assert load_study(file, datasets={"b": "three"}).datasets == {"a": "one", "b": "three"}
    with pytest.raises(SettingsError, match=r"s.yaml has no dataset 'c'; there are: a, b"):
        load_study(file, datasets={"c": "x"})


@pytest.mark.parametrize(("text", "error"), [("[1", DataError), ("- 1\n", SettingsError), ("", SettingsError)])
def test_a_file_that_is_no_study_is_refused_by_its_name(tmp_path, text, error):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(error, match=r"s\.yaml"):
        load_study(tmp_path / "s.yaml")
    with pytest.raises(DataError, match="is not a file"):
        load_study(tmp_path)
