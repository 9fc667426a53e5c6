"""What the pictures of a catalogue are, told by their bytes: a hash of every file, read anew only where it has changed.

`picture-hashes.npy` keeps of every item the name, size and time of change of its file, and the hash. A file
that was changed less than two seconds before it was read is read again the next time, because clocks of disks are
coarse: another change may have left size and time as they were.
"""

import hashlib
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignrec.artifacts import replacement
from alignrec.data import Dataset
from alignrec.progress import progress_bar
from alignrec.runtime import release_pages

__all__ = ["picture_hashes"]

_FILE = "picture-hashes.npy"
_COARSEST_CLOCK = 2 * 10**9  # nanoseconds: FAT's
_BLOCK = 4096  # items whose hashes are in memory
_ROW = np.dtype([("state", "<i8", 3), ("hash", "u1", 32)])  # of an item in the file

_NONE = (0, 0, 0)  # state of an item without a file
_UNSETTLED = (0, 0, 1)  # of a file that is read again in any case

_Rows = NDArray[Any]  # of _ROW
_Mapped = np.memmap[Any, Any]


def picture_hashes(dataset: Dataset, folder: Path) -> Iterator[NDArray[np.uint8]]:
    """SHA-256 of the bytes of each item's picture, some items at a time (n, 32); zeros where no file can be read.

    What is known already lies in `folder`, and is brought up to date there once all were asked for.

    Raises:
        ArtifactError: it cannot be written there.
    """
    known, read = _open(folder / _FILE, dataset.n_items), lru_cache(maxsize=_BLOCK)(_hash)  # items may share a picture
    kept: _Mapped | None = None
    with progress_bar("reading pictures", dataset.n_items) as bar, ExitStack() as stack:
        for start in range(0, dataset.n_items, _BLOCK):
            block = slice(start, min(start + _BLOCK, dataset.n_items))
            before = np.zeros(block.stop - start, _ROW) if known is None else np.array(known[block])
            rows = _look(dataset, block, before, read)
            if kept is None and not np.array_equal(rows["state"], before["state"]):
                kept = _copy(known, stack.enter_context(replacement(folder / _FILE)), dataset.n_items)
            for mapped in (known, kept):
                if mapped is not None:
                    release_pages(mapped)
            if kept is not None:
                kept[block] = rows
                kept.flush()
            bar.advance(len(rows))
            yield rows["hash"].copy()
        known = kept = None  # some systems replace no file that is open


def _look(dataset: Dataset, block: slice, known: _Rows, read: Callable[[Path], bytes]) -> _Rows:
    """State and hash of the items of `block`; those whose state is as it was are not read."""
    rows = np.zeros_like(known)
    for row, before, item in zip(rows, known, range(block.start, block.stop), strict=True):
        path = dataset.image_path(item)
        row["state"] = state = _state(path)
        if path is None or state == _NONE:
            continue
        unchanged = state != _UNSETTLED and state == tuple(before["state"]) and before["hash"].any()
        row["hash"] = before["hash"] if unchanged else np.frombuffer(read(path), dtype=np.uint8)
    return rows


def _open(file: Path, items: int) -> _Mapped | None:
    """What was kept the last time, mapped; None where there is nothing, or that of another catalogue."""
    try:
        rows = np.lib.format.open_memmap(file, mode="r")
    except (OSError, ValueError):
        return None
    return rows if rows.dtype == _ROW and rows.shape == (items,) else None


def _copy(known: _Mapped | None, file: Path, items: int) -> _Mapped:
    """A new `file` with what is known, or zeros."""
    rows = np.lib.format.open_memmap(file, mode="w+", dtype=_ROW, shape=(items,))
    if known is not None:
        for start in range(0, items, _BLOCK):
            rows[start : start + _BLOCK] = known[start : start + _BLOCK]
    return rows


def _state(path: Path | None) -> tuple[int, int, int]:
    """Name (the first bytes of its hash), size and time of change of a file."""
    try:
        found = path.stat() if path else None
    except (OSError, ValueError):  # ValueError: a name that no file can have
        found = None
    if path is None or found is None or not stat.S_ISREG(found.st_mode):
        return _NONE
    if time.time_ns() - found.st_mtime_ns < _COARSEST_CLOCK:
        return _UNSETTLED
    name = int.from_bytes(hashlib.sha256(str(path).encode(errors="surrogateescape")).digest()[:7])
    return name, found.st_size, found.st_mtime_ns


def _hash(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return bytes(32)
