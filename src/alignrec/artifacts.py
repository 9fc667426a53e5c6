"""Folders and files that are either whole or absent: atomic writes, staged folders, content hashes."""

import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from alignrec.errors import ArtifactError

if sys.platform != "win32":
    import fcntl

__all__ = [
    "hash_arrays",
    "hash_file",
    "hash_values",
    "is_vacant",
    "read_arrays",
    "read_json",
    "replacement",
    "sole_writer",
    "staged_folder",
    "write_arrays",
    "write_bytes",
    "write_json",
]

_UNFINISHED = ".part"  # the end of a temporary file's or folder's name: so it is known when its writer was killed


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: temporary file, fsync, rename. A reader sees the old file or the new one."""
    with replacement(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Mapping[str, Any]) -> None:  # Any: JSON values
    """Write `value` as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:  # Any: JSON values
    """Read a JSON object.

    Raises:
        ArtifactError: the file is absent or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist; is {path.parent} the folder you meant?") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is not valid JSON ({error}); make the folder anew") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} holds a {type(value).__name__}, not a JSON object; make the folder anew")
    return value


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays as safetensors, atomically; the same arrays give the same bytes, and are not copied first.

    Raises:
        ArtifactError: the disk is full, or they cannot be written for another reason.
    """
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    with replacement(path) as temporary:
        save_file(ordered, temporary, metadata=dict(metadata) if metadata else None)


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes otherwise.

    Raises:
        ArtifactError: the disk is full, or safetensors cannot write for another reason.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # which says nothing of the file
            raise ArtifactError(f"{path} cannot be written, the disk is full; make room and try again") from None
        if isinstance(error, SafetensorError):
            raise ArtifactError(f"{path} cannot be written ({error}); is there room on the disk?") from None
        raise


def _umask() -> int:
    """The permissions that the user takes from new files."""
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a safetensors file.

    Raises:
        ArtifactError: the file is absent or damaged.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; is {path.parent} the folder you meant?")
    try:
        return dict(load_file(path))
    except (SafetensorError, TypeError) as error:  # TypeError: a number format that NumPy does not have
        raise ArtifactError(f"{path} is not a readable safetensors file ({error}); make it anew") from None


@contextmanager
def staged_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` that becomes `path` when the block ends well, and vanishes otherwise.

    Raises:
        ArtifactError: `path` exists and is not an empty folder, and `replace` is false, at the beginning or when the
            block ends; or it cannot be replaced.
    """
    if not replace:
        _require_vacant(path)
    if path.is_mount() or (path.exists() and path.samefile(Path.cwd())):
        raise ArtifactError(
            f"{path} is the current folder or a mounted disk, which nothing can replace; name a folder in it"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED))
    try:
        yield stage
        stage.chmod(0o777 & ~_umask())
        if not replace:  # another process may have been faster
            _require_vacant(path)
        _swap(stage, path)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise


def _require_vacant(path: Path) -> None:
    if not is_vacant(path):
        raise ArtifactError(f"{path} already exists; choose another folder or remove it first")


def is_vacant(path: Path) -> bool:
    """Whether nothing is at `path`, or a folder with nothing in it but what killed writers left unfinished."""
    return not path.exists() or (path.is_dir() and all(map(_is_unfinished, path.iterdir())))


def _is_unfinished(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(_UNFINISHED)


@contextmanager
def sole_writer(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Inside, nobody else who asks may write `folder`, which is made if need be; what killed writers left is gone.

    The system takes the lock back when the process ends, however it ends. Where it has none to give (Windows, some
    network disks) nobody is kept out. With `wait` whoever asks later stands in line; the folder may have been moved
    by then.

    Raises:
        ArtifactError: somebody else writes it now, and `wait` is false.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArtifactError(f"{folder} is being written by another process; wait for it, or end it") from None
        except OSError:  # no locks on this disk
            pass
        else:
            for path in [found for found in folder.rglob(".*") if _is_unfinished(found)]:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        yield
    finally:
        os.close(handle)


def _swap(stage: Path, path: Path) -> None:
    """Put `stage` in the place of `path`; the old folder is removed only when the new one stands there."""
    if not path.exists():
        stage.rename(path)
        return
    old = stage.with_name(f"{stage.name}.old")
    path.rename(old)
    try:
        stage.rename(path)
    except BaseException:
        old.rename(path)
        raise
    if old.is_dir():
        shutil.rmtree(old)
    else:
        old.unlink()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_arrays(*arrays: NDArray[Any]) -> str:
    """SHA-256 over dtype, shape and bytes of each array in turn, hexadecimal."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def hash_values(value: Mapping[str, Any]) -> str:  # Any: JSON values
    """SHA-256 of the canonical JSON form of `value`, hexadecimal: a cache key for settings."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
