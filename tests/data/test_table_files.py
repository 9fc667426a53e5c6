import gzip
from pathlib import Path

import polars as pl
import pytest

from alignrec.data.raw import SkipLog
from alignrec.data.table_files import LINE, ParquetTable
from alignrec.errors import DataError


def test_parquet_keeps_types_and_counts_rows_from_one(tmp_path: Path) -> None:
    pl.DataFrame({"a": [7, 8], "b": ["x", "y"]}).write_parquet(tmp_path / "a.parquet")
    table = ParquetTable(tmp_path / "a.parquet")
    assert table.columns == ["a", "b"]
    assert pl.concat(list(table.exact_blocks(["a"], SkipLog()))).select(LINE, "a").rows() == [(1, 7), (2, 8)]
    assert table.where(2).endswith("a.parquet row 2")


def test_gzipped_parquet_is_read_like_plain(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "a.parquet")
    packed = tmp_path / "a.parquet.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    assert pl.concat(list(ParquetTable(packed).blocks(["a"])))["a"].to_list() == [1, 2]
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.parquet\.gz: the gzip stream breaks off"):
        ParquetTable(packed)


def test_a_file_that_is_no_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"user,item\n1,2\n")
    with pytest.raises(
        DataError, match=r"a\.parquet is not a readable Parquet file .*; write or download it again"
    ) as e:
        ParquetTable(tmp_path / "a.parquet")
    assert "\n" not in str(e.value)


def test_brackets_in_a_path_are_no_pattern(tmp_path: Path) -> None:
    for folder, value in (("shop[1]", "own"), ("shop1", "another's")):
        (tmp_path / folder).mkdir()
        pl.DataFrame({"a": [value]}).write_parquet(tmp_path / folder / "a.parquet")
    table = ParquetTable(tmp_path / "shop[1]" / "a.parquet")
    assert pl.concat(list(table.blocks(["a"])))["a"].to_list() == ["own"]
