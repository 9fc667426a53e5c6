from dataclasses import replace
from pathlib import Path

import pytest
from datasets import small_dataset

from alignrec.artifacts import write_json
from alignrec.data import Catalogue
from alignrec.errors import ArtifactError, UsageError
from alignrec.studies import train
from alignrec.studies.reproduction.recipes import recipe
from alignrec.studies.reproduction.request import ReproduceRequest, named_datasets, refuse_unread, require_own


def test_datasets_are_called_as_the_paper_calls_them():
    found = named_datasets(recipe("cikm24/table2"), {"baby": "a", "SPORTS": Path("b")})
    assert found == {"Baby": Path("a"), "Sports": Path("b")}


def test_a_dataset_the_table_does_not_have_is_refused():
    with pytest.raises(UsageError, match="no dataset 'shop' for cikm24/table2; it has Baby, Sports, Electronics"):
        named_datasets(recipe("cikm24/table2"), {"shop": "x"})
    with pytest.raises(UsageError, match="no dataset is given for dream/figure11; it has Baby"):
        named_datasets(recipe("dream/figure11"), {})


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    require_own(tmp_path / "new", recipe("fettle/table1"))
    require_own(tmp_path, recipe("fettle/table1"))
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ArtifactError, match="holds no reproduction of fettle/table1"):
        require_own(tmp_path, recipe("fettle/table1"))
    with pytest.raises(ArtifactError, match="is a file"):
        require_own(tmp_path / "mine.txt", recipe("fettle/table1"))


def test_the_result_of_another_table_is_not_overwritten(tmp_path):
    write_json(tmp_path / "reproduction.json", {"table": "dream/table1", "done": False})
    require_own(tmp_path, recipe("fettle/table1"))
    write_json(tmp_path / "reproduction.json", {"table": "dream/table1", "done": True})
    require_own(tmp_path, recipe("dream/table1"))
    with pytest.raises(ArtifactError, match="holds the reproduction of dream/table1, not fettle/table1; choose"):
        require_own(tmp_path, recipe("fettle/table1"))


@pytest.mark.parametrize(
    ("address", "options", "message"),
    [
        ("fettle/table1", {"settings": {"": {"training.lr": 1.0}}}, "fettle/table1 is not made of runs"),
        ("cikm24/table3", {"reuse": True}, "cikm24/table3 is not made of runs"),
        ("dream/table1", {"models": ("bpr",)}, "dream/table1 counts the dataset"),
        ("cikm24/table2", {"features": {"CLIP": ("a",)}}, "no row of cikm24/table2 uses CLIP features; it uses AlignR"),
        ("cikm24/table5", {"features": {"AlignRec": ("a",)}}, "uses AlignRec features; it uses Amazon, Amazon-text"),
    ],
)
def test_what_nothing_would_read_is_refused(address, options, message):
    with pytest.raises(UsageError, match=message):
        refuse_unread(recipe(address), ReproduceRequest(**options), [])


@pytest.mark.parametrize("address", ["cikm24/table2", "cikm24/table6", "cikm24/table9", "dream/table3"])
def test_amazons_features_may_stand_for_alignrecs(address):
    refuse_unread(recipe(address), ReproduceRequest(features={"Amazon": ("a", "b"), "": ("c",)}), [])


def test_a_run_of_another_dataset_is_refused(tmp_path):
    data = small_dataset(tmp_path / "small")
    run = train(data, model="bpr", out=tmp_path / "run", settings={"training": {"epochs": 1}})
    asked = ReproduceRequest(given={"bpr": (run.path,)})
    refuse_unread(recipe("cikm24/table2"), asked, [data])
    other = replace(data, catalogue=Catalogue(data.catalogue.frame.reverse()))
    with pytest.raises(UsageError, match="was trained on none of the datasets that are given"):
        refuse_unread(recipe("cikm24/table2"), asked, [other])
