from pathlib import Path

import polars as pl
import pytest

from alignrec.data.raw import SkipLog
from alignrec.data.table_fields import choose_column, id_field, open_table, read_fields, standard_fields
from alignrec.data.table_files import LINE
from alignrec.errors import DataError, UsageError

FIELDS = [id_field("user", "u"), id_field("item", "i"), *standard_fields("r", "t", "s")]
GOOD = "u,i,r,t,s\n007,a,4.5,978300760,0\n8,b,,2000-12-31,test\n"


def write(folder: Path, content: str) -> Path:
    (folder / "log.csv").write_text(content, encoding="utf-8")
    return folder / "log.csv"


def test_fields_are_converted_and_good_files_need_no_lines(tmp_path: Path) -> None:
    frame = read_fields(open_table(write(tmp_path, GOOD)), FIELDS, SkipLog())
    assert frame.rows() == [("007", "a", 4.5, 978300760, 0), ("8", "b", None, 978220800, 2)]
    assert frame.schema == pl.Schema(
        {"user": pl.String, "item": pl.String, "rating": pl.Float64, "timestamp": pl.Int64, "split": pl.Int8}
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",a,1,1,0", "column 'u' is empty; fill the id in or drop the row"),
        ("u,  ,1,1,0", "column 'i' is no item id"),
        ("u,a,good,1,0", "column 'r' is not a number; mend the rating"),
        ("u,a,1,yesterday,0", "column 't' is not a timestamp; give seconds"),
        ("u,a,1,,0", "column 't' is empty"),
        ("u,a,1,1,3", "column 's' is not a split; give 0, 1, 2 or train, valid, test"),
        ("u,a,1,1", "4 fields instead of 5"),
    ],
)
def test_a_bad_value_is_named_with_its_line_or_skipped(tmp_path: Path, row: str, message: str) -> None:
    table = open_table(write(tmp_path, GOOD + row + "\n9,c,3,5,1\n"))
    with pytest.raises(DataError) as error:
        read_fields(table, FIELDS, SkipLog())
    assert "log.csv line 4" in str(error.value)
    assert f": {message}" in str(error.value)
    assert str(error.value).endswith("--on-error skip")
    skipped = SkipLog("skip")
    frame = read_fields(table, FIELDS, skipped)
    assert frame["user"].to_list() == ["007", "8", "9"]
    assert frame[LINE].to_list() == [2, 3, 5]
    assert list(skipped.counts.values()) == [1]
    assert "log.csv line 4" in next(iter(skipped.examples.values()))


def test_skipped_rows_are_counted_by_reason_with_the_first_as_example(tmp_path: Path) -> None:
    bad = "u,a,x,1,0\nu,a,y,1,0\n,a,1,1,0\nu\n"
    skipped = SkipLog("skip")
    assert len(read_fields(open_table(write(tmp_path, GOOD + bad)), FIELDS, skipped)) == 2
    assert skipped.counts == {"1 fields instead of 5": 1, "column 'r' is not a number": 2, "column 'u' is empty": 1}
    assert skipped.examples["column 'r' is not a number"].endswith("log.csv line 4 ('x')")


@pytest.mark.parametrize("name", ["log.csv", "log.tsv", "log.jsonl", "log.parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"u": ["007", 'é "x"'], "i": [7, 8], "r": [4.5, None], "t": [10, 978300760000], "s": [0, 2]})
    file = tmp_path / name
    {
        ".csv": frame.write_csv,
        ".tsv": lambda path: frame.write_csv(path, separator="\t"),
        ".jsonl": frame.write_ndjson,
        ".parquet": frame.write_parquet,
    }[file.suffix](file)
    rows = [("007", "7", 4.5, 10, 0), ('é "x"', "8", None, 978300760, 2)]
    assert read_fields(open_table(file), FIELDS, SkipLog()).rows() == rows
    assert read_fields(open_table(file), FIELDS, SkipLog(), exact=True).drop(LINE).rows() == rows


def test_one_column_may_serve_two_fields(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "u,i\na,b\n"))
    assert read_fields(table, [id_field("user", "u"), id_field("item", "u")], SkipLog()).rows() == [("a", "a")]


def test_a_header_alone_gives_no_rows(tmp_path: Path) -> None:
    assert len(read_fields(open_table(write(tmp_path, "u,i,r,t,s\n")), FIELDS, SkipLog())) == 0


def test_unknown_formats_are_refused_unless_a_separator_is_given(tmp_path: Path) -> None:
    file = tmp_path / "log.data"
    file.write_text("u;i\n1;2\n")
    with pytest.raises(DataError, match=r"cannot tell the format from '\.data'; give \.csv"):
        open_table(file)
    assert open_table(file, separator=";").columns == ["u", "i"]
    (tmp_path / "log.jsonl").write_text('{"u": 1}\n')
    with pytest.raises(UsageError, match="can only be delimited text"):
        open_table(tmp_path / "log.jsonl", header=False)


def test_a_missing_column_lists_those_that_exist(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, GOOD))
    with pytest.raises(DataError, match="no column 'when' for the timestamp; it has: u, i, r, t, s; name one with --x"):
        choose_column(table, "when", (), "timestamp", "--x")
    assert choose_column(table, None, ("q", "r"), "rating", "--x") == "r"
    assert choose_column(table, None, ("q",), "rating", "--x") is None


def test_a_list_where_an_id_belongs_is_named_with_its_row(tmp_path: Path) -> None:
    pl.DataFrame({"u": [[1, 2]]}).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"log\.parquet row 1 \('\[1, 2\]'\): column 'u' is no user id"):
        read_fields(open_table(tmp_path / "log.parquet"), [id_field("user", "u")], SkipLog())


def test_a_path_that_does_not_exist_is_not_judged_by_its_suffix(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="shopp does not exist; give an existing folder or file"):
        open_table(tmp_path / "shopp")
