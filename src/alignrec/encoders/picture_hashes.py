"""What the pictures of a catalogue are, told by their bytes: a hash of every file, read anew only where it has changed.

`picture-hashes.safetensors` keeps of every item the name, size and time of change of its file, and the hash. A file
that was changed less than two seconds before it was read is read again the next time, because clocks of disks are
coarse: another change may have left size and time as they were.
"""

import hashlib
import stat
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alignrec.artifacts import read_arrays, write_arrays
from alignrec.data import Dataset
from alignrec.errors import ArtifactError
from alignrec.progress import progress_bar

__all__ = ["picture_hashes"]

_FILE = "picture-hashes.safetensors"
_COARSEST_CLOCK = 2 * 10**9  # nanoseconds: FAT's
_REPORTED = 512  # items between two movements of the bar

_NONE = (0, 0, 0)  # state of an item without a file
_UNSETTLED = (0, 0, 1)  # of a file that is read again in any case


def picture_hashes(dataset: Dataset, folder: Path) -> NDArray[np.uint8]:
    """SHA-256 of the bytes of each item's picture, (I, 32); zeros where there is no file that can be read.

    What is known already lies in `folder`, and is brought up to date there.

    Raises:
        ArtifactError: it cannot be written there.
    """
    known_states, known = _read(folder / _FILE, dataset.n_items)
    states, hashes = np.zeros_like(known_states), np.zeros_like(known)
    read = lru_cache(maxsize=4096)(_hash)  # items may share a picture
    with progress_bar("reading pictures", dataset.n_items) as bar:
        for item in range(dataset.n_items):
            if item and item % _REPORTED == 0:
                bar.advance(_REPORTED)
            path = dataset.image_path(item)
            states[item] = state = _state(path)
            if path is None or state == _NONE:
                continue
            unchanged = state != _UNSETTLED and np.array_equal(states[item], known_states[item]) and known[item].any()
            hashes[item] = known[item] if unchanged else np.frombuffer(read(path), dtype=np.uint8)
    if not np.array_equal(states, known_states):
        write_arrays(folder / _FILE, {"states": states, "hashes": hashes})
    return hashes


def _read(file: Path, items: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """States (I, 3) and hashes (I, 32) of the last time; zeros where there was none, or with another catalogue."""
    nothing = np.zeros((items, 3), dtype=np.int64), np.zeros((items, 32), dtype=np.uint8)
    try:
        arrays = read_arrays(file)
        states, hashes = arrays["states"], arrays["hashes"]
    except (ArtifactError, KeyError):
        return nothing
    return (states, hashes) if (states.shape, hashes.shape) == ((items, 3), (items, 32)) else nothing


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
