import gzip
from pathlib import Path

import pytest

from alignrec.data.raw import SkipLog
from alignrec.data.text_lines import byte_blocks, plain_suffix, read_lines
from alignrec.errors import DataError


def test_lines_are_numbered_from_one_and_lose_only_their_line_feed(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\n\nfour")
    assert list(read_lines(file, SkipLog())) == [(1, "one\r"), (2, "two"), (3, ""), (4, "four")]


def test_gzipped_lines_are_those_of_the_plain_file(tmp_path: Path) -> None:
    content = "".join(f"line {n}\n" for n in range(100_000)).encode()
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(content))
    plain, packed = (list(read_lines(tmp_path / name, SkipLog())) for name in ("a.txt", "a.txt.gz"))
    assert plain == packed
    assert len(plain) == 100_000


def test_a_truncated_gzip_is_located_by_the_first_line_that_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "a.txt.gz"
    whole = gzip.compress(b"".join(b"%d\n" % (n * n) for n in range(5000)))
    file.write_bytes(whole[: len(whole) // 2])
    good: list[str] = []
    with pytest.raises(DataError, match=r"a\.txt\.gz line \d+: the gzip stream breaks off") as error:
        good.extend(text for _, text in read_lines(file, SkipLog()))
    skipped = SkipLog("skip")
    rest = [text for _, text in read_lines(file, skipped)]
    assert rest == [str(n * n) for n in range(len(rest))]
    assert f"line {len(rest) + 1}:" in str(error.value)
    assert skipped.total == 1


def test_bytes_that_are_not_utf8_are_located(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"good\nb\xffd\ngood too\n")
    with pytest.raises(DataError, match=r"line 2 \(byte 2\): not UTF-8; save the file as UTF-8"):
        list(read_lines(file, SkipLog()))
    assert list(read_lines(file, SkipLog("skip"))) == [(1, "good"), (3, "good too")]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*nothing\.csv .*give an existing file"):
        list(read_lines(tmp_path / "nothing.csv", SkipLog()))


def test_blocks_end_with_lines_and_outside_quotes(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    content = b'1,"a\nb\nc"\n2,d\n' * 50
    file.write_bytes(content)
    blocks = list(byte_blocks(file, 64, quote=b'"'))
    assert b"".join(blocks) == content
    assert len(blocks) > 5
    assert all(block.endswith(b"\n") and block.count(b'"') % 2 == 0 for block in blocks)


def test_a_quote_left_open_does_not_swallow_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b'1,"a\n' + b"2,b\n" * 1000)
    with pytest.raises(ValueError, match="no end of a row"):
        list(byte_blocks(file, 64, quote=b'"'))


@pytest.mark.parametrize(("name", "suffix"), [("a.csv", ".csv"), ("a.b.JSONL.gz", ".jsonl"), ("a", ""), ("a.gz", "")])
def test_the_suffix_of_the_format_stands_before_gz(name: str, suffix: str) -> None:
    assert plain_suffix(Path(name)) == suffix
