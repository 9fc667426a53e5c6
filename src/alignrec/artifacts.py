"""Folders and files that are either whole or absent: atomic writes, staged folders, content hashes."""

import hashlib
import json
import os
import shutil
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

__all__ = [
    "hash_arrays",
    "hash_file",
    "hash_values",
    "read_arrays",
    "read_json",
    "staged_folder",
    "write_arrays",
    "write_bytes",
    "write_json",
]


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: temporary file, fsync, rename. A reader sees the old file or the new one."""
    with _replacement(path) as temporary:
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
    with _replacement(path) as temporary:
        try:
            save_file(ordered, temporary, metadata=dict(metadata) if metadata else None)
        except SafetensorError as error:
            raise ArtifactError(f"{path} cannot be written ({error}); is there room on the disk?") from None


@contextmanager
def _replacement(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
        ArtifactError: `path` exists and is not an empty folder, and `replace` is false.
    """
    if path.exists() and not replace and not (path.is_dir() and not any(path.iterdir())):
        raise ArtifactError(f"{path} already exists; choose another folder or remove it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield stage
        stage.chmod(0o755)
        _swap(stage, path)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise


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
