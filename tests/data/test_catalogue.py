import polars as pl
import pytest

from alignrec.data import Catalogue
from alignrec.data import catalogue as module
from alignrec.data.fingerprint import hash_frame
from alignrec.errors import ArtifactError

FRAME = pl.DataFrame(
    {
        "item_id": [f"item{n}" for n in range(23)],
        "title": [None if n % 5 == 0 else f"title é {n}" for n in range(23)],
        "categories": [None if n % 3 == 0 else ["all", f"kind {n % 4}"][: n % 3] for n in range(23)],
        "image": [f"{n}.png" if n % 2 else None for n in range(23)],
    }
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 5)


@pytest.fixture
def file(tmp_path):
    Catalogue(FRAME).write(tmp_path / "items.parquet")
    return tmp_path / "items.parquet"


@pytest.fixture(params=["in memory", "in a file"])
def catalogue(request, file):
    return Catalogue(FRAME if request.param == "in memory" else file)


@pytest.mark.parametrize("which", [range(23), range(5), range(3, 12), range(10, 10), range(20, 23), range(4, 5)])
def test_rows_are_those_of_the_whole_wherever_blocks_end(catalogue, which):
    assert catalogue.rows(which).equals(FRAME[which.start : which.stop])


def test_values_come_one_by_one_in_any_order(catalogue):
    for item in (22, 0, 7, 4, 5, 22):
        assert catalogue.value("title", item) == FRAME["title"][item]
        assert catalogue.value("image", item) == FRAME["image"][item]


def test_a_catalogue_has_the_same_hash_whether_it_is_read_in_parts_or_whole(catalogue):
    assert catalogue.content_hash == hash_frame(FRAME)


def test_size_columns_and_frame(catalogue):
    assert len(catalogue) == 23
    assert catalogue.schema == FRAME.schema
    assert catalogue.column("item_id").to_list() == FRAME["item_id"].to_list()
    assert catalogue.frame.equals(FRAME)


def test_a_file_written_in_one_group_reads_the_same(tmp_path):
    FRAME.write_parquet(tmp_path / "whole.parquet")
    catalogue = Catalogue(tmp_path / "whole.parquet")
    assert catalogue.rows(range(3, 18)).equals(FRAME[3:18])
    assert catalogue.content_hash == hash_frame(FRAME)


def test_what_was_read_whole_needs_its_file_no_more(file):
    catalogue = Catalogue(file)
    catalogue.frame  # noqa: B018  (reads it)
    file.unlink()
    assert catalogue.value("title", 1) == "title é 1"
    assert catalogue.rows(range(2, 9)).equals(FRAME[2:9])


def test_another_catalogue_in_the_same_place_is_not_taken_for_the_first(file):
    catalogue = Catalogue(file)
    assert catalogue.value("title", 1) == "title é 1"
    file.unlink()
    FRAME.reverse().write_parquet(file)
    with pytest.raises(ArtifactError, match=r"items\.parquet was changed after it had been opened; load the dataset"):
        catalogue.rows(range(10, 12))


def test_a_file_that_is_gone_or_damaged_is_named(file):
    catalogue = Catalogue(file)
    file.unlink()
    with pytest.raises(ArtifactError, match=r"items\.parquet is missing; import the dataset again"):
        catalogue.column("title")
    with pytest.raises(ArtifactError, match=r"items\.parquet is missing; import the dataset again"):
        Catalogue(file)
    file.write_bytes(b"PAR1 nothing of the kind PAR1")
    with pytest.raises(ArtifactError, match=r"items\.parquet is not readable .*; import the dataset again"):
        Catalogue(file)
    pl.DataFrame({"id": ["a"]}).write_parquet(file)
    with pytest.raises(ArtifactError, match=r"items\.parquet has no column 'item_id'; import the dataset again"):
        Catalogue(file)


def test_an_empty_catalogue_has_no_rows(tmp_path):
    Catalogue(FRAME.clear()).write(tmp_path / "none.parquet")
    for catalogue in (Catalogue(FRAME.clear()), Catalogue(tmp_path / "none.parquet")):
        assert len(catalogue) == 0
        assert catalogue.rows(range(0)).equals(FRAME.clear())
        assert catalogue.content_hash == hash_frame(FRAME.clear())
