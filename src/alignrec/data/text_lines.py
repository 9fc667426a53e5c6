"""Text files as numbered lines or as large blocks, plain or gzipped, without ever holding a whole file.

A line ends with a line feed; a damaged gzip stream is located by the number of lines that could still be read.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from alignrec.data.raw import SkipLog
from alignrec.errors import DataError

__all__ = ["BYTE_ORDER_MARK", "DAMAGE", "byte_blocks", "is_gzip", "open_binary", "plain_suffix", "read_lines"]

DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)  # what a truncated or broken gzip stream raises
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PIECE = 1 << 18  # bytes asked for at a time


def is_gzip(path: Path) -> bool:
    """Whether the name says that the file is compressed."""
    return path.suffix.lower() == ".gz"


def plain_suffix(path: Path) -> str:
    """The suffix that names the format: ".csv" for both `a.csv` and `a.csv.gz`."""
    return Path(path.stem).suffix.lower() if is_gzip(path) else path.suffix.lower()


def open_binary(path: Path) -> IO[bytes]:
    """Open `path` for reading bytes, decompressing `.gz`.

    Raises:
        DataError: there is no such file, or it cannot be opened.
    """
    try:
        return cast("IO[bytes]", gzip.open(path, "rb")) if is_gzip(path) else path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); give an existing file") from None


def read_lines(path: Path, skipped: SkipLog) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line, without its line feed; a byte order mark is dropped.

    Raises:
        DataError: a line is not UTF-8, or the gzip stream is damaged, unless `skipped` lets such lines go.
    """
    for number, line in _byte_lines(path, skipped):
        try:
            text = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).decode("utf-8")
        except UnicodeDecodeError as error:
            where = f"{path} line {number} (byte {error.start + 1})"
            skipped.bad_row(where, "not UTF-8", "save the file as UTF-8")
            continue
        yield number, text


def _byte_lines(path: Path, skipped: SkipLog) -> Iterator[tuple[int, bytes]]:
    number, tail = 0, b""
    with open_binary(path) as stream:
        try:
            while piece := stream.read1(_PIECE):  # type: ignore[attr-defined]  # IO lacks it, both streams have it
                *lines, tail = (tail + piece).split(b"\n")
                for line in lines:
                    number += 1
                    yield number, line
        except DAMAGE:
            reason = "the gzip stream breaks off or is damaged here"
            skipped.bad_row(f"{path} line {number + 1}", reason, "download or compress the file again")
            return
    if tail:
        yield number + 1, tail


def byte_blocks(path: Path, size: int, *, quote: bytes = b"") -> Iterator[bytes]:
    """Blocks of about `size` bytes that end where a line ends and, if `quote` is given, outside quotes.

    Raises:
        ValueError: no such place within 8 `size` bytes: a quote must have been left open.
    """
    tail = b""
    with open_binary(path) as stream:
        while piece := stream.read(size):
            buffer = tail + piece
            end = _last_line_end(buffer, quote)
            if not end and len(buffer) > 8 * size:
                raise ValueError("no end of a row found")
            if end:
                yield buffer[:end]
            tail = buffer[end:]
    if tail:
        yield tail


def _last_line_end(buffer: bytes, quote: bytes) -> int:
    end = buffer.rfind(b"\n") + 1
    quotes = buffer.count(quote, 0, end) if quote else 0
    while end and quotes % 2:
        before = buffer.rfind(b"\n", 0, end - 1) + 1
        quotes -= buffer.count(quote, before, end)
        end = before
    return end
