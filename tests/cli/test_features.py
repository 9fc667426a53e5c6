import json

import numpy as np
import polars as pl
import pytest

from alignrec.data import Dataset

MATRIX = np.arange(24, dtype=np.float32).reshape(12, 2)


@pytest.fixture
def file(tmp_path):
    np.save(tmp_path / "f.npy", MATRIX)
    return tmp_path / "f.npy"


def test_import_says_what_it_stored_and_the_dataset_has_it(command_line, tiny_dataset, file):
    done = command_line("features", "import", file, tiny_dataset.path, "--name", "clip", "--modality", "image")
    assert (done.code, done.out, done.err) == (0, "clip: 12 items x 2, image\n", "")
    table = Dataset.load(tiny_dataset.path).features("clip")
    assert np.array_equal(table.matrix, MATRIX)
    assert table.modality == "image"


def test_import_prints_json_for_machines(command_line, tiny_dataset, file):
    done = command_line("features", "import", file, tiny_dataset.path, "--name", "clip", "--json")
    about = json.loads(done.out)
    assert (about["name"], about["items"], about["size"], about["modality"]) == ("clip", 12, 2, "content")
    assert about["hash"] == tiny_dataset.features("clip").content_hash


def test_import_by_id_column(command_line, tiny_dataset, tmp_path):
    frame = pl.DataFrame(MATRIX[::-1], schema=["x", "y"]).with_columns(
        asin=pl.Series([f"i{n}" for n in range(12)][::-1])
    )
    frame.write_parquet(tmp_path / "f.parquet")
    words = ["features", "import", tmp_path / "f.parquet", tiny_dataset.path, "--name", "f", "--id-column", "asin"]
    assert command_line(*words).code == 0
    assert np.array_equal(tiny_dataset.features("f").matrix, MATRIX)


def test_a_file_that_does_not_fit_is_one_line_and_stores_nothing(command_line, tiny_dataset, tmp_path):
    np.save(tmp_path / "f.npy", MATRIX[:5])
    done = command_line("features", "import", tmp_path / "f.npy", tiny_dataset.path, "--name", "f")
    assert (done.code, done.out) == (1, "")
    assert done.err == "alignrec: f.npy has 5 rows, the dataset 12 items; rows must follow the items' order\n"
    assert tiny_dataset.feature_names == []


def test_an_unusable_name_stores_nothing(command_line, tiny_dataset, file):
    done = command_line("features", "import", file, tiny_dataset.path, "--name", "a+b")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert tiny_dataset.feature_names == []


def test_without_a_dataset_folder_the_remedy_is_named(command_line, tmp_path, file):
    done = command_line("features", "import", file, tmp_path / "nothing", "--name", "f")
    assert done.code == 1
    assert "make one with 'alignrec data import'" in done.err
