from dataclasses import replace

import numpy as np
import pytest
from datasets import N_ITEMS, small_dataset

from alignrec.errors import UsageError
from alignrec.features import FeatureTable, save_features
from alignrec.studies.reproduction.features import FeatureSets
from alignrec.studies.reproduction.published import PAPERS, published_paper
from alignrec.studies.reproduction.recipes import RECIPES, recipe, recipe_rows
from alignrec.studies.reproduction.runs import row_settings
from alignrec.studies.study_cells import study_cells
from alignrec.studies.study_settings import StudySettings

TABLES = [(each, dataset) for each in RECIPES if each.kind == "runs" for dataset in each.datasets]
GIVEN = {"CLIP": ("clip",), "AlignRec-text": ("t",), "AlignRec-image": ("i",), "AlignRec": ("joint",)}
GIVEN |= {f"layers-{n}": (f"l{n}",) for n in (12, 16, 20)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A text table, a table of pictures, and what the feature sets of the papers are called here."""
    made = small_dataset(tmp_path_factory.mktemp("data") / "small")
    rng = np.random.default_rng(1)
    names = [("image", "image"), *((name, "image+text") for tables in GIVEN.values() for name in tables)]
    for name, modality in names:
        matrix = rng.normal(size=(N_ITEMS, 4)).astype(np.float32)
        save_features(made.path / "features", FeatureTable(name, modality, made.items.ids, matrix))
    return made


@pytest.mark.parametrize(("which", "dataset"), TABLES, ids=lambda value: getattr(value, "address", value))
def test_every_row_of_every_table_can_be_trained(which, dataset, data):
    rows, left_out = recipe_rows(which, dataset)
    sets = FeatureSets(data, GIVEN)
    settings = [row_settings(row, sets, {}) for row in rows]
    study = StudySettings(name="x", datasets={"d": str(data.path)}, rows=settings, metrics=["recall@20"])
    cells = study_cells(study)
    assert [cell.label for cell in cells] == [row.label for row in rows]
    assert {*left_out, *(row.label for row in rows)} == set(which.published.rows(dataset))
    assert set(left_out) <= {"ADDVAE", "NCL vanilla valid (stopping_step 20)"}


def rows_of(address, dataset):
    return {row.label: row for row in recipe_rows(recipe(address), dataset)[0]}


def test_ablations_differ_from_the_whole_in_what_they_take_away():
    rows = rows_of("cikm24/table6", "Baby")
    whole = rows["AlignRec"]
    assert whole.settings == {"training.lr": 3e-4}
    assert whole.fixed == {"model.alias_reg_target": True, "model.l2_batch_size": 2048}  # as the authors' code
    assert rows["w/o CCA"] == replace(whole, label="w/o CCA", fixed={**whole.fixed, "model.cca_weight": 0.0})
    assert rows["w/o Vision"] == replace(whole, label="w/o Vision", features="AlignRec-text")
    assert rows_of("dream/table3", "Baby")["w/o Image Encoder"].features == "Amazon-text"
    assert rows_of("cikm24/table5", "Baby")["VBPR w/o Vision"].features == "Amazon-text"


def test_plug_ins_bring_features_to_models_that_know_none():
    rows = rows_of("fettle/table2", "Clothing")
    assert (rows["BPR"].features, rows["BPR"].plugins) == ("", ())
    assert (rows["BPR+FETTLE"].features, rows["BPR+FETTLE"].plugins) == ("Amazon", ("fettle",))
    assert rows["FREEDOM+FETTLE"].settings["plugin.fettle.cluster_temperature"] == 0.05
    assert rows["SGL+BM3"].plugins == ("bm3",)


def test_the_logged_weights_of_fettle_are_read_from_the_label():
    rows = rows_of("fettle/log-ncl", "Clothing")
    published = next(row for label, row in rows.items() if "published row" in label)
    assert published.fixed["plugin.fettle.cluster_weight"] == 1e-3
    assert published.fixed["training.patience"] == 50


def test_weights_of_modalities_become_weights_of_tables(data):
    row = rows_of("dream/table2", "Baby")["DREAM"]
    settings = row_settings(row, FeatureSets(data, {"Amazon": ("image", "content")}), {}).settings
    assert settings == {"model.modality_weights": {"image": 0.3, "content": 0.7}}
    assert row_settings(row, FeatureSets(data, {"Amazon": ("joint",)}), {}).settings == {}


def test_chosen_settings_win_over_the_recipe(data):
    row = rows_of("cikm24/table2", "Baby")["AlignRec"]
    assert row_settings(row, FeatureSets(data, GIVEN), {"training.lr": 0.1}).settings == {
        "training.lr": 0.1,
        **row.fixed,
    }


def test_every_published_table_is_listed():
    listed = {each.address for each in RECIPES}
    derived = {"cikm24/text-alignment", "cikm24/text-improvement", "fettle/table2-average"}
    tables = {f"{key}/{name}" for key in PAPERS for name in published_paper(key).tables}
    assert tables <= listed | derived
    assert {each.address for each in RECIPES if each.kind != "none"} <= tables


def test_what_is_not_computed_says_why():
    with pytest.raises(UsageError, match="cikm24/figure5 is not computed: bars without numbers; 'alignrec study segm"):
        recipe("cikm24/figure5")
    with pytest.raises(UsageError, match="no table 'cikm24/table99'; there are: cikm24/table1"):
        recipe("cikm24/table99")
