import contextlib
import csv
import io
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alignrec.data.delimited import DelimitedTable
from alignrec.data.raw import SkipLog
from alignrec.data.table_files import LINE, Irregular
from alignrec.errors import DataError, UsageError


def table(
    folder: Path, content: bytes, *, separator: str = ",", header: bool = True, size: int = 1 << 20
) -> DelimitedTable:
    file = folder / "a.csv"
    file.write_bytes(content)
    return DelimitedTable(file, separator, header=header, block_bytes=size)


def fast(source: DelimitedTable) -> pl.DataFrame:
    return pl.concat(list(source.blocks(source.columns)))


def exact(source: DelimitedTable, skipped: SkipLog | None = None) -> pl.DataFrame:
    return pl.concat(list(source.exact_blocks(source.columns, skipped or SkipLog())))


# No characters that UTF-8 cannot hold; a lone carriage return or a NUL is not text that a CSV writer produces.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1, max_size=12)
ROWS = st.lists(
    st.tuples(TEXT, TEXT, TEXT | st.sampled_from(['"', ",", '""', "\n", "007", " x ", "\t", "[1]"])), min_size=1
)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, separator=st.sampled_from([",", "\t", ";"]), line_end=st.sampled_from(["\n", "\r\n"]))
def test_what_a_csv_writer_writes_is_read_back_fast_and_exactly(
    rows: list[tuple[str, str, str]], separator: str, line_end: str
) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter=separator, lineterminator=line_end).writerows([("a", "b", "c"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        source = table(Path(folder), written.getvalue().encode(), separator=separator, size=64)
        assert exact(source).drop(LINE).rows() == rows
        with contextlib.suppress(Irregular):  # then the exact way is the one that counts
            assert fast(source).rows() == rows


@settings(max_examples=400, deadline=None)
@given(content=st.binary(max_size=60) | st.text('a1",;\n\r ', max_size=60).map(str.encode))
@example(content=b'a,"""')  # Polars closes the quote at the end of the file itself
@example(content=b'a,"""\r\n"')
@example(content=b"\xef\xbb\xbf")
@example(content=b"\0\r,")
def test_where_the_fast_way_does_not_give_up_the_exact_way_agrees(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = table(Path(folder), b"a,b\n" + content, size=32)
        try:
            frame = pl.concat([pl.DataFrame(schema={"a": pl.String, "b": pl.String}), *source.blocks(["a", "b"])])
        except Irregular:
            return
        if not frame["a"].null_count():  # as in an empty line; an id that is null is judged the exact way
            assert exact(source).drop(LINE).rows() == frame.fill_null("").rows()


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60) | st.text('a1",;\n\r ', max_size=60).map(str.encode))
def test_any_bytes_give_rows_or_one_line_that_names_the_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = table(Path(folder), b"a,b\n" + content)
        skipped = SkipLog("skip")
        exact(source, skipped)
        if skipped.total:
            with pytest.raises(DataError, match=r"a\.csv line \d+.*: [^\n]+$"):
                exact(source)


def test_an_exact_row_knows_the_line_it_begins_on(tmp_path: Path) -> None:
    frame = exact(table(tmp_path, b'a,b\n1,"x\ny"\n\n2,z\n'))
    assert frame.rows() == [(2, "1", "x\ny"), (5, "2", "z")]


@pytest.mark.parametrize("row", [b"4", b"4,5,6", b'4,"5', b'"4"x,5', b"4,\xff"])
def test_a_malformed_row_makes_the_fast_way_give_up_and_is_named_by_the_exact_one(tmp_path: Path, row: bytes) -> None:
    source = table(tmp_path, b"a,b\n1,2\n" + row + b"\n7,8\n")
    with pytest.raises(Irregular):
        fast(source)
    with pytest.raises(DataError, match=r"a\.csv line 3.*: .*--on-error skip"):
        exact(source)
    skipped = SkipLog("skip")
    assert exact(source, skipped).drop(LINE).rows() == [("1", "2"), ("7", "8")]
    assert skipped.total == 1


def test_the_number_of_fields_is_part_of_the_message(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: 3 fields instead of 2; mend the row"):
        exact(table(tmp_path, b"a,b\n1,2,3\n"))


def test_an_empty_last_field_is_no_short_row(tmp_path: Path) -> None:
    assert fast(table(tmp_path, b"a,b\n1,\n2,x\n")).rows() == [("1", None), ("2", "x")]


def test_without_a_header_columns_are_numbered(tmp_path: Path) -> None:
    source = table(tmp_path, b"A1,B2,5.0\nA3,B4,4.0\n", header=False)
    assert source.columns == ["1", "2", "3"]
    assert fast(source).rows() == exact(source).drop(LINE).rows() == [("A1", "B2", "5.0"), ("A3", "B4", "4.0")]


def test_a_byte_order_mark_is_no_part_of_a_name_or_value(tmp_path: Path) -> None:
    assert table(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n").columns == ["a", "b"]
    assert fast(table(tmp_path, b"\xef\xbb\xbf1,2\n3,4\n", header=False)).rows() == [("1", "2"), ("3", "4")]


def test_an_empty_file_a_repeated_column_and_a_long_separator_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty; give a file with a header line"):
        table(tmp_path, b"")
    with pytest.raises(DataError, match="column 'a' occurs twice"):
        table(tmp_path, b"a,a\n1,2\n")
    with pytest.raises(UsageError, match="separator '::' cannot be used"):
        table(tmp_path, b"a::b\n", separator="::")


def test_a_long_value_is_read_exactly_and_one_without_end_is_named(tmp_path: Path, monkeypatch) -> None:
    long = "w " * 100_000
    source = table(tmp_path, f'a,b\n1,{long}\n"2",x\n'.encode())
    [block] = source.exact_blocks(["a", "b"], SkipLog())
    assert block["b"].to_list() == [long, "x"]
    monkeypatch.setattr("alignrec.data.delimited._LONGEST_FIELD", 1000)
    with pytest.raises(DataError, match=r"line 2: a value of more than 1,000 characters; close its quotes"):
        list(source.exact_blocks(["a", "b"], SkipLog()))


def test_a_lone_carriage_return_is_named_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1: a carriage return without a line feed; end lines by line feeds"):
        table(tmp_path, b"u,v\r1,2\r")
