import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from alignrec.errors import FeatureError
from alignrec.features import FeatureTable, fuse
from alignrec.features import table as module
from alignrec.features.table import unit_rows


def table(matrix, ids=None, name="f", modality="image"):
    matrix = np.asarray(matrix, dtype=np.float32)
    return FeatureTable(name, modality, ids or [f"i{n}" for n in range(len(matrix))], matrix)


@pytest.mark.parametrize("at_once", [1, 6, 1 << 22])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_names_row_and_item(bad, at_once, monkeypatch):
    monkeypatch.setattr(module, "_VALUES", at_once)
    matrix = np.ones((4, 2))
    matrix[2, 1] = matrix[3, 0] = bad
    with pytest.raises(FeatureError, match=r"not finite in 2 rows, first row 2 \(item 'i2'\)"):
        table(matrix)


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), (0, 4), (4, 0)])
def test_other_shapes_than_items_by_size_are_refused(shape):
    with pytest.raises(FeatureError, match="give one vector per item"):
        FeatureTable("f", "image", ["a"] * shape[0], np.ones(shape, dtype=np.float32))


def test_a_list_of_lists_is_refused_in_one_line():
    with pytest.raises(FeatureError, match="features 'f' are a list; give a NumPy array"):
        FeatureTable("f", "image", ["a"], [[1.0, 2.0]])


def test_rows_and_ids_must_be_equally_many():
    with pytest.raises(FeatureError, match="have 3 rows for 2 items"):
        table(np.ones((3, 2)), ids=["a", "b"])


def test_an_item_must_not_be_named_twice():
    with pytest.raises(FeatureError, match="name an item twice"):
        table(np.ones((2, 2)), ids=["a", "a"])


def test_other_number_formats_become_single_precision():
    made = FeatureTable("f", "image", ["a", "b"], np.ones((2, 3), dtype=np.float64, order="F"))
    assert made.matrix.dtype == np.float32
    assert made.matrix.flags.c_contiguous
    assert made.size == 3


def test_the_hash_follows_the_values_alone():
    values = np.arange(6.0).reshape(2, 3)
    assert table(values, name="a").content_hash == table(values, name="b", ids=["x", "y"]).content_hash
    assert table(values).content_hash != table(values + 1e-5).content_hash


@given(st.permutations(range(6)), st.integers(1, 6))
def test_align_gives_every_item_its_own_row(order, kept):
    source = table(np.arange(12.0).reshape(6, 2))
    wanted = [f"i{n}" for n in order][:kept]
    assert np.array_equal(source.align(wanted), source.matrix[order[:kept]])


def test_align_names_the_first_missing_item_and_how_many_there_are():
    with pytest.raises(FeatureError, match="lack 2 of 3 items, first 'x'"):
        table(np.ones((2, 2))).align(["i1", "x", "y"])


matrices = hnp.arrays(np.float32, (5, 3), elements=st.floats(-1e3, 1e3, width=32))


@given(matrices, matrices)
def test_fusion_gives_blocks_of_length_one_and_zero_rows_stay_zero(one, two):
    fused = fuse([table(one, name="a"), table(two, name="b", modality="text")])
    for given_, block in [(one, fused.matrix[:, :3]), (two, fused.matrix[:, 3:])]:
        lengths = np.linalg.norm(given_.astype(np.float64), axis=1)
        expected = np.where(lengths > 1e-6, 1.0, np.linalg.norm(block, axis=1))
        assert np.allclose(np.linalg.norm(block, axis=1), expected, atol=1e-5)
        assert not block[lengths == 0].any()


def test_fusion_lets_both_modalities_count_whatever_their_scale():
    small = table([[1, 0], [0, 1], [1, 0]], name="text")
    large = table([[500, 0], [500, 0], [0, 500]], name="image")
    joined = fuse([small, large]).matrix
    cosines = joined @ joined[0] / 2
    assert np.allclose(cosines, [1, 0.5, 0.5])


def test_fusion_names_its_parts_in_name_modality_and_provenance():
    one, two = table(np.eye(2), name="a", modality="image"), table(np.ones((2, 1)), name="b", modality="text")
    fused = fuse([one, two])
    assert (fused.name, fused.modality, fused.size) == ("a+b", "image+text", 3)
    assert [part["hash"] for part in fused.provenance["fused"]] == [one.content_hash, two.content_hash]


def test_a_raw_join_leaves_the_blocks_as_they_are_and_says_so():
    one, two = table([[3.0, 4.0], [0, 0]], name="a"), table([[0.5], [2.0]], name="b")
    joined = fuse([one, two], raw=True)
    assert np.array_equal(joined.matrix, [[3, 4, 0.5], [0, 0, 2]])
    assert (joined.name, joined.provenance["rows"]) == ("raw:a+b", "as they are")


def test_fusion_brings_tables_into_one_order():
    one, two = table(np.eye(2), ids=["x", "y"], name="a"), table([[3, 0], [0, 5]], ids=["y", "x"], name="b")
    assert np.array_equal(fuse([one, two]).matrix, [[1, 0, 0, 1], [0, 1, 1, 0]])


def test_one_table_alone_is_left_as_it_is():
    alone = table([[3.0, 4.0]])
    assert fuse([alone]) is alone


def test_nothing_to_fuse_is_an_error():
    with pytest.raises(FeatureError, match="name at least one"):
        fuse([])


def test_unit_rows_of_a_worked_example():
    assert np.allclose(unit_rows(np.array([[3, 4], [0, 0]], dtype=np.float32)), [[0.6, 0.8], [0, 0]])
