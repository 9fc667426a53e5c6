import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignrec.data.inter_rows import read_inter_lines
from alignrec.data.mmrec import read_mmrec
from alignrec.data.raw import SkipLog
from alignrec.errors import DataError

ids = st.integers(0, 30)
rows = st.lists(
    st.tuples(ids, ids, st.floats(0, 5).map(lambda x: round(x, 2)), st.integers(0, 2**31), st.integers(0, 2)),
    min_size=1,
    max_size=20,
)


def write(folder, *lines, header="userID\titemID\tx_label", end="\n"):
    file = folder / "x.inter"
    file.write_bytes((end.join([header, *lines]) + end).encode())
    return file


@given(rows)
def test_line_by_line_reads_what_the_fast_reader_reads(tmp_path_factory, values):
    header = "userID\titemID\trating\ttimestamp\tx_label"
    file = write(tmp_path_factory.mktemp("x"), *("\t".join(map(str, row)) for row in values), header=header)
    slow, fast = read_inter_lines(file, SkipLog()), read_mmrec(file).interactions
    assert slow["userID"].cast(pl.String).to_list() == fast["user"].to_list()
    assert slow["itemID"].cast(pl.String).to_list() == fast["item"].to_list()
    assert slow["rating"].to_list() == fast["rating"].to_list()
    assert slow["timestamp"].to_list() == fast["timestamp"].to_list()
    assert slow["x_label"].to_list() == fast["split"].to_list()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0\t1", "2 instead of 3.*wrong number of values"),
        ("0\t1\t0\t5", "4 instead of 3.*wrong number of values"),
        ("u1\t1\t0", "'u1'.*userID is not a whole number from 0"),
        ("0\t-1\t0", "'-1'.*itemID is not a whole number"),
        ("0\t1.5\t0", "'1.5'.*itemID is not a whole number"),
        ("0\t99999999999\t0", "itemID is not a whole number"),
        ("0\t\t0", "''.*itemID is not a whole number"),
        ("0\t1\t7", "'7'.*unknown x_label, not 0 .train., 1 .valid. or 2 .test."),
    ],
)
def test_a_malformed_row_is_named_with_file_line_and_remedy(tmp_path, line, reason):
    file = write(tmp_path, "0\t0\t0", line)
    with pytest.raises(DataError, match=rf"x\.inter line 3 .*{reason}.*correct the line.*--on-error skip"):
        read_inter_lines(file, SkipLog())


@pytest.mark.parametrize("cell", ["nan", "inf", "five", ""])
def test_a_rating_that_is_not_a_number_is_malformed(tmp_path, cell):
    file = write(tmp_path, f"0\t0\t{cell}", header="userID\titemID\trating")
    with pytest.raises(DataError, match="rating is not a number"):
        read_inter_lines(file, SkipLog())


def test_empty_lines_are_passed_over_and_counted_as_lines(tmp_path):
    with pytest.raises(DataError, match="line 4"):
        read_inter_lines(write(tmp_path, "0\t0\t0", "", "x\t0\t0"), SkipLog())


def test_bytes_that_are_not_utf8_are_a_malformed_row(tmp_path):
    file = write(tmp_path, "0\t0\t0")
    file.write_bytes(file.read_bytes() + b"\xff\t0\t0\n")
    skipped = SkipLog("skip")
    assert len(read_inter_lines(file, skipped)) == 1
    assert skipped.counts == {"not UTF-8 text": 1}


def test_skipped_rows_are_counted_by_reason(tmp_path):
    skipped = SkipLog("skip")
    frame = read_inter_lines(write(tmp_path, "0\t0\t0", "a\t0\t0", "b\t0\t0", "1\t1\t2"), skipped)
    assert frame.rows() == [(0, 0, 0), (1, 1, 2)]
    assert skipped.counts == {"userID is not a whole number from 0": 2}
    assert "line 3 ('a')" in skipped.examples["userID is not a whole number from 0"]


@pytest.mark.parametrize("header", ["userID\titem", "userID,itemID", ""])
def test_a_missing_column_is_named_with_what_is_there(tmp_path, header):
    with pytest.raises(DataError, match=r"x\.inter line 1: no column '(itemID|userID)'"):
        read_inter_lines(write(tmp_path, "0\t0", header=header), SkipLog())
