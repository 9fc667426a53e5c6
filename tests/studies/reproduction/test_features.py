import numpy as np
import pytest
from datasets import N_ITEMS, small_dataset

from alignrec.errors import UsageError
from alignrec.features import FeatureTable, save_features
from alignrec.studies.reproduction.features import FeatureSets, parse_feature_sets


@pytest.fixture
def data(tmp_path):
    """`content` is a text table of 6 numbers."""
    return small_dataset(tmp_path / "small")


def add(data, name, modality, size=4):
    matrix = np.ones((N_ITEMS, size), np.float32)
    save_features(data.path / "features", FeatureTable(name, modality, data.items.ids, matrix))


def test_one_picture_and_one_text_table_stand_for_amazons(data):
    assert FeatureSets(data, {}).tables("Amazon") == ()
    add(data, "image", "image")
    sets = FeatureSets(data, {})
    assert sets.tables("Amazon") == ("image", "content")
    assert (sets.tables("Amazon-text"), sets.tables("AlignRec-image")) == (("content",), ("image",))
    add(data, "other", "image")
    assert FeatureSets(data, {}).tables("Amazon") == ()


def test_alignrec_takes_the_unified_table_and_else_amazons_pair(data):
    add(data, "image", "image")
    assert FeatureSets(data, {}).tables("AlignRec") == ("image", "content")
    add(data, "ica", "image+text")
    sets = FeatureSets(data, {})
    assert sets.tables("AlignRec") == ("ica",)
    assert sets.tables("AlignRec-text") == ()  # its vision cannot be taken away without the encoder


def test_where_sets_are_compared_one_does_not_stand_for_another(data):
    add(data, "image", "image")
    assert FeatureSets(data, {}, distinct=True).tables("AlignRec") == ()
    assert FeatureSets(data, {"": ("content",)}, distinct=True).tables("AlignRec") == ()
    add(data, "ica", "image+text")
    assert FeatureSets(data, {}, distinct=True).tables("AlignRec") == ("ica",)


def test_tables_that_are_named_come_first(data):
    sets = FeatureSets(data, {"": ("content",), "CLIP": ("x", "y")})
    assert (sets.tables("Amazon"), sets.tables("AlignRec"), sets.tables("CLIP")) == (
        ("content",),
        ("content",),
        ("x", "y"),
    )


def test_what_is_missing_says_what_is_needed_and_what_is_there(data):
    text = FeatureSets(data, {}).refusal("Amazon")
    assert text == (
        "needs Amazon features (4096 + 384 numbers an item); the dataset has content (text, 6); "
        "name them with --features Amazon=TABLE"
    )


def test_features_of_another_width_are_not_the_papers(data):
    add(data, "wide", "image+text", 768)
    sets = FeatureSets(data, {"Amazon": ("content",), "CLIP": ("content",)})
    assert sets.difference("AlignRec") is None
    assert sets.difference("Amazon") == "features content (6) are not Amazon's (4096 + 384)"
    assert "cannot be checked" in sets.difference("CLIP")
    assert sets.difference("") is None


def test_sets_are_read_in_any_case():
    found = parse_feature_sets(["amazon=image, text", "CLIP=clip", "a,b"])
    assert found == {"Amazon": ("image", "text"), "CLIP": ("clip",), "": ("a", "b")}


@pytest.mark.parametrize("texts", [["x=a"], ["Amazon="], ["a", "b"]])
def test_wrong_sets_are_one_line(texts):
    with pytest.raises(UsageError, match="feature"):
        parse_feature_sets(texts)
