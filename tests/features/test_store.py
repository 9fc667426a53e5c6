import json
import pickle
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from alignrec.data.table_settings import CANDIDATES
from alignrec.errors import AlignrecError, ArtifactError, FeatureError
from alignrec.features import (
    FeatureTable,
    import_features,
    joined_names,
    list_features,
    load_features,
    read_description,
    save_features,
)

IDS = ["a", "b", "c"]
MATRIX = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture
def stored(tmp_path):
    save_features(tmp_path, FeatureTable("pixels", "image", IDS, MATRIX, {"by": "test"}))
    save_features(tmp_path, FeatureTable("words.v2", "text", IDS, MATRIX + 1))
    return tmp_path


def test_a_stored_table_comes_back_with_everything(stored):
    table = load_features(stored, "pixels", IDS)
    assert np.array_equal(table.matrix, MATRIX)
    assert (table.name, table.modality, table.item_ids, table.provenance) == ("pixels", "image", IDS, {"by": "test"})


def test_tables_are_listed_by_name(stored, tmp_path_factory):
    assert list_features(stored) == ["pixels", "words.v2"]
    assert list_features(tmp_path_factory.mktemp("empty") / "none") == []


def test_a_plus_sign_joins_tables(stored):
    table = load_features(stored, "pixels+words.v2", IDS)
    assert (table.modality, table.matrix.shape) == ("image+text", (3, 4))


def test_a_raw_join_leaves_every_row_as_it_is(stored):
    table = load_features(stored, "raw:pixels+words.v2", IDS)
    assert np.array_equal(table.matrix, np.concatenate([MATRIX, MATRIX + 1], axis=1))
    assert joined_names(table.name) == ["pixels", "words.v2"]
    with pytest.raises(FeatureError, match="no features called 'raw:pixels'"):
        load_features(stored, "raw:pixels", IDS)


def test_a_joined_name_with_an_unknown_part_names_the_known_ones(stored):
    with pytest.raises(FeatureError, match=r"no features called 'sound' here; there are: pixels, words\.v2"):
        load_features(stored, "pixels+sound", IDS)


@pytest.mark.parametrize("ids", [["a", "b", "d"], ["b", "a", "c"], ["a", "b"]])
def test_a_table_of_other_items_or_another_order_is_refused(stored, ids):
    with pytest.raises(FeatureError, match="made for other items"):
        load_features(stored, "pixels", ids)


def test_values_changed_behind_the_library_are_noticed(stored):
    save_file({"features": MATRIX + 0.5}, stored / "pixels.safetensors")
    with pytest.raises(FeatureError, match="do not match their description"):
        load_features(stored, "pixels", IDS)


def test_a_file_without_the_matrix_is_refused(stored):
    save_file({"other": MATRIX}, stored / "pixels.safetensors")
    with pytest.raises(ArtifactError, match="no array called 'features'"):
        load_features(stored, "pixels", IDS)


def test_a_matrix_without_its_description_is_not_listed(stored):
    (stored / "pixels.json").unlink()
    assert list_features(stored) == ["words.v2"]


def test_a_stray_file_is_not_listed_and_says_what_it_lacks(stored):
    (stored / "notes.json").write_text("{}")
    assert list_features(stored) == ["pixels", "words.v2"]
    with pytest.raises(
        FeatureError, match=r"no features called 'notes' here \(notes\.json has no notes\.safetensors be"
    ):
        load_features(stored, "notes", IDS)


def test_hidden_files_of_a_copy_from_macos_are_not_listed(stored):
    for path in list(stored.iterdir()):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    assert list_features(stored) == ["pixels", "words.v2"]


@pytest.mark.parametrize(("key", "value"), [("modality", None), ("size", "wide"), ("provenance", [])])
def test_a_description_that_lacks_something_is_refused(stored, key, value):
    about = read_description(stored, "pixels")
    (stored / "pixels.json").write_text(json.dumps(about | {key: value}))
    with pytest.raises(ArtifactError, match=rf"pixels\.json describes no features, it lacks {key}; extract or import"):
        load_features(stored, "pixels", IDS)


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "a+b", "a b", "naïve"])
def test_names_that_are_no_plain_file_names_are_refused(tmp_path, name):
    with pytest.raises(FeatureError, match="is not usable"):
        save_features(tmp_path, FeatureTable(name, "image", IDS, MATRIX))
    assert list(tmp_path.iterdir()) == []


def test_the_description_says_what_is_inside(stored):
    about = json.loads((stored / "pixels.json").read_text())
    assert (about["items"], about["size"], about["provenance"]) == (3, 2, {"by": "test"})


# Import by row order


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8])
def test_npy_rows_follow_the_items(tmp_path, dtype):
    np.save(tmp_path / "f.npy", MATRIX.astype(dtype))
    table = import_features(tmp_path / "f.npy", IDS, name="f")
    assert np.array_equal(table.matrix, MATRIX)
    assert (list(table.item_ids), table.provenance["file"]) == (IDS, "f.npy")


def test_safetensors_with_one_array_is_read_whatever_its_name(tmp_path):
    save_file({"anything": MATRIX}, tmp_path / "f.safetensors")
    assert np.array_equal(import_features(tmp_path / "f.safetensors", IDS, name="f").matrix, MATRIX)


def test_parquet_without_id_column_follows_the_items(tmp_path):
    pl.DataFrame(MATRIX, schema=["x", "y"]).write_parquet(tmp_path / "f.parquet")
    assert np.array_equal(import_features(tmp_path / "f.parquet", IDS, name="f").matrix, MATRIX)


def test_another_number_of_rows_is_refused(tmp_path):
    np.save(tmp_path / "f.npy", MATRIX[:2])
    with pytest.raises(FeatureError, match=r"f\.npy has 2 rows, the dataset 3 items"):
        import_features(tmp_path / "f.npy", IDS, name="f")


def test_a_nan_is_refused_with_its_row_and_item(tmp_path):
    matrix = MATRIX.copy()
    matrix[1, 0] = np.nan
    np.save(tmp_path / "f.npy", matrix)
    with pytest.raises(FeatureError, match=r"first row 1 \(item 'b'\)"):
        import_features(tmp_path / "f.npy", IDS, name="f")


def test_a_number_too_large_for_single_precision_is_refused_not_warned_about(tmp_path):
    np.save(tmp_path / "f.npy", MATRIX.astype(np.float64) * 1e300)
    with pytest.raises(FeatureError, match="not finite in 3 rows"):
        import_features(tmp_path / "f.npy", IDS, name="f")


# Import by id


@given(st.permutations(range(5)))
def test_parquet_rows_are_matched_by_id_in_any_order_and_others_left_out(order):
    ids = [*IDS, "d", "e"]
    values = np.arange(10, dtype=np.float32).reshape(5, 2)
    frame = pl.DataFrame(values[order], schema=["x", "y"]).with_columns(pl.Series("id", [ids[n] for n in order]))
    table = _import_frame(frame, IDS, "id")
    assert np.array_equal(table.matrix, values[:3])
    assert list(table.item_ids) == IDS


def test_ids_of_any_type_are_matched_as_text(tmp_path):
    frame = pl.DataFrame({"id": [20, 10], "v": [[1.0, 2.0], [3.0, 4.0]]})
    assert np.array_equal(_import_frame(frame, ["10", "20"], "id").matrix, [[3, 4], [1, 2]])


def test_a_column_of_fixed_arrays_is_a_vector_column(tmp_path):
    frame = pl.DataFrame({"id": IDS, "v": pl.Series(MATRIX, dtype=pl.Array(pl.Float32, 2))})
    assert np.array_equal(_import_frame(frame, IDS, "id").matrix, MATRIX)


@pytest.mark.parametrize("kind", [pl.List(pl.Float64), pl.List(pl.Int16), pl.Array(pl.Float64, 2)])
def test_a_vector_column_may_have_texts_beside_it(kind):
    frame = pl.DataFrame({"title": ["x", None, "z"], "v": pl.Series(MATRIX).cast(kind), "tags": [["p"], [], None]})
    assert np.array_equal(_import_frame(frame, IDS, None).matrix, MATRIX)
    assert np.array_equal(_import_frame(frame[::-1].with_columns(sku=pl.Series(IDS[::-1])), IDS, "sku").matrix, MATRIX)


def test_a_vector_column_is_read_without_an_object_per_number(tmp_path):
    vectors = pl.Series("v", np.ones((2000, 500))).arr.to_list()
    pl.DataFrame([vectors]).write_parquet(tmp_path / "f.parquet")
    tracemalloc.start()
    table = import_features(tmp_path / "f.parquet", [str(n) for n in range(2000)], name="f")
    peak = tracemalloc.get_traced_memory()[1]  # of Python and NumPy
    tracemalloc.stop()
    assert peak < 3 * table.matrix.nbytes


def test_an_item_without_a_row_is_named(tmp_path):
    frame = pl.DataFrame({"id": ["a", "c"], "x": [1.0, 2.0]})
    with pytest.raises(FeatureError, match="lack 1 of 3 items, first 'b'"):
        _import_frame(frame, IDS, "id")


@pytest.mark.parametrize(
    ("columns", "id_column", "message"),
    [
        ({"id": IDS, "x": [1.0, 2.0, 3.0]}, "asin", "has no column 'asin'; it has: id, x"),
        ({"id": IDS, "x": [1.0, 2.0, 3.0]}, None, "column 'id' looks like item ids; name it with --id-column"),
        ({"sku": ["c", "b", "z"], "x": [1.0, 2.0, 3.0]}, None, "column 'sku' looks like item ids"),
        ({"n": ["x", "y", "z"], "x": [1.0, 2.0, 3.0]}, None, "columns n are not numbers; name the id column"),
        ({"id": ["a", "a", "b"], "x": [1.0, 2.0, 3.0]}, "id", "name an item twice"),
        ({"id": IDS, "v": [[1.0], [1.0, 2.0], [1.0]]}, "id", "have different lengths"),
        ({"id": IDS, "v": [[1.0], None, [1.0]]}, "id", "column 'v' lacks vectors"),
        ({"id": IDS, "v": [[1.0], [None], [1.0]]}, "id", "not finite in 1 rows"),
        ({"id": IDS, "v": [["x"], ["y"], ["z"]]}, "id", "columns v are not numbers"),
        ({"id": IDS, "v": [["x"], ["y"], ["z"]]}, "id", "are not numbers; keep columns of numbers, or one list column"),
        ({"id": IDS, "v": [[1.0]] * 3, "w": [[1.0]] * 3}, "id", "columns v, w are not numbers"),
        ({"id": IDS, "v": [[1.0]] * 3, "x": [1.0] * 3}, "id", "one list column of numbers without others beside it"),
        ({"id": IDS, "v": pl.Series([[]] * 3, dtype=pl.List(pl.Float32))}, "id", r"have shape \(3, 0\)"),
        ({"id": IDS}, "id", r"columns \(none\) are not numbers"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_in_words_that_help(columns, id_column, message):
    with pytest.raises(FeatureError, match=message):
        _import_frame(pl.DataFrame(columns), IDS, id_column)


@pytest.mark.parametrize("name", [*CANDIDATES["item"], "id", "ITEM_ID"])
def test_a_column_called_like_an_id_is_no_dimension(name):
    with pytest.raises(FeatureError, match=rf"f\.parquet: column '{name}' looks like item ids; name it with --id-col"):
        _import_frame(pl.DataFrame({name: [30, 10, 20], "x": [3.0, 1.0, 2.0]}), ["10", "20", "30"], None)


def test_a_column_with_exactly_the_ids_is_no_dimension_whatever_its_name():
    frame = pl.DataFrame({"sku": [30, 10, 20], "x": [3.0, 1.0, 2.0]})
    with pytest.raises(FeatureError, match="column 'sku' looks like item ids"):
        _import_frame(frame, ["10", "20", "30"], None)
    assert _import_frame(frame, ["20", "30", "40"], None).size == 2  # numbers like any


@pytest.mark.parametrize("index", [[0, 5, 9], ["a", "b", "c"], ["x", "y", "z"]])
def test_the_index_of_a_pandas_frame_is_no_dimension(index):
    frame = pl.DataFrame({"x": MATRIX[:, 0], "y": MATRIX[:, 1], "__index_level_0__": index})
    assert np.array_equal(_import_frame(frame, IDS, None).matrix, MATRIX)
    by_id = frame.rename({"y": "__index_level_1__"}).with_columns(asin=pl.Series(IDS))
    assert np.array_equal(_import_frame(by_id, IDS, "asin").matrix, MATRIX[:, :1])


@pytest.mark.parametrize(("index", "ids"), [([2, 0, 1], ["0", "1", "2"]), (["c", "a", "b"], IDS)])
def test_an_index_that_holds_the_ids_in_another_order_has_to_be_named(index, ids):
    frame = pl.DataFrame({"x": [2.0, 0.0, 1.0], "__index_level_0__": index})
    with pytest.raises(FeatureError, match="column '__index_level_0__' looks like item ids"):
        _import_frame(frame, ids, None)
    assert _import_frame(frame, ids, "__index_level_0__").matrix.ravel().tolist() == [0.0, 1.0, 2.0]


def _import_frame(frame, ids, id_column):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.parquet"
        frame.write_parquet(path)
        return import_features(path, ids, name="f", id_column=id_column)


# Files that are not what they seem


def test_a_pickle_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('executed')",))

    (tmp_path / "plain.npy").write_bytes(pickle.dumps(Bomb()))
    np.save(tmp_path / "object.npy", np.array([Bomb(), None, None]), allow_pickle=True)
    for name in ("plain.npy", "object.npy"):
        with pytest.raises(FeatureError, match="is not a plain numeric array"):
            import_features(tmp_path / name, IDS, name="f")


def _truncated_npy(path):
    np.save(path, MATRIX)
    path.write_bytes(path.read_bytes()[:-3])


def _zip_of_arrays(path):
    with path.open("wb") as stream:
        np.savez(stream, x=MATRIX)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("f.npy", lambda path: path.write_bytes(b""), "is not a plain numeric array"),
        ("f.npy", _truncated_npy, "is not a plain numeric array"),
        ("f.npy", _zip_of_arrays, "is not a plain numeric array"),
        ("f.npy", lambda path: np.save(path, np.array(["x", "y", "z"])), "give numbers of shape"),
        ("f.npy", lambda path: np.save(path, np.ones(3)), r"float64 of shape \(3,\)"),
        ("f.safetensors", lambda path: path.write_bytes(b"xx"), "is not a readable safetensors file"),
        ("f.safetensors", lambda path: save_file({"x": MATRIX, "y": MATRIX}, path), "holds 2 arrays"),
        (
            "f.safetensors",
            lambda path: save_torch({"x": torch.ones(3, 2, dtype=torch.bfloat16)}, path),
            "is not a readable safetensors file",
        ),
        ("f.parquet", lambda path: path.write_bytes(b"xx"), "is not a readable Parquet file"),
        ("f.csv", lambda path: path.write_text("1,2"), r"cannot read features from '\.csv'; give \.npy"),
        ("f.npy", lambda path: None, "does not exist; give a .npy"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_with_its_name(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(AlignrecError, match=message) as caught:
        import_features(tmp_path / name, IDS, name="f")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_id_column_makes_no_sense_without_columns(tmp_path):
    np.save(tmp_path / "f.npy", MATRIX)
    with pytest.raises(FeatureError, match=r"has no columns, so no 'id'"):
        import_features(tmp_path / "f.npy", IDS, name="f", id_column="id")


def test_ids_that_are_whole_numbers_match_as_floats_too(tmp_path):
    pl.DataFrame({"id": [2.0, 1.0], "v": [20.0, 10.0]}).write_parquet(tmp_path / "v.parquet")
    table = import_features(tmp_path / "v.parquet", ["1", "2"], name="v", id_column="id")
    assert table.matrix.ravel().tolist() == [10.0, 20.0]


@pytest.mark.parametrize(("ids", "what"), [([["a"], ["b"]], "lists or objects"), (["a", None], "empty values")])
def test_an_id_column_without_an_id_in_each_row_is_refused(tmp_path, ids, what):
    pl.DataFrame({"id": ids, "v": [1.0, 2.0]}).write_parquet(tmp_path / "v.parquet")
    with pytest.raises(FeatureError, match=f"v.parquet: column 'id' holds {what}; give one id per row"):
        import_features(tmp_path / "v.parquet", ["a", "b"], name="v", id_column="id")
