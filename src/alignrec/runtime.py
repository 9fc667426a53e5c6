"""Where and how a computation runs: device, threads, seeded generators, memory allocation."""

import ctypes
import hashlib
import mmap
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from alignrec.errors import UsageError

__all__ = [
    "derive_seed",
    "flush_denormals",
    "keep_large_buffers",
    "numpy_rng",
    "release_pages",
    "resolve_device",
    "return_freed_memory",
    "set_threads",
    "torch_rng",
]

_MOST_THREADS = 1024


def resolve_device(name: str) -> torch.device:
    """The device called `name`; `auto` is CUDA where there is one, else the CPU.

    Raises:
        UsageError: unknown name, or a CUDA device that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; allowed: auto, cpu, cuda, cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; allowed: auto, cpu, cuda, cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name!r} is not on this machine ({torch.cuda.device_count()} CUDA devices); use cpu")
    return device


def set_threads(count: int) -> None:
    """Use `count` CPU threads for tensor operations; 1 makes results repeatable to the byte.

    Raises:
        UsageError: `count` is below 1, or above 1024.
    """
    if not 1 <= count <= _MOST_THREADS:
        raise UsageError(f"threads must be between 1 and {_MOST_THREADS}, not {count}")
    torch.set_num_threads(count)


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on `seed` and on every name, so that streams never share draws.

    Being a function of its arguments alone, it makes a resumed run draw what the unbroken run would have drawn.
    """
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_rng(seed: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator for the stream called `names` of `seed`."""
    return np.random.default_rng(derive_seed(seed, *names))


def torch_rng(seed: int, *names: str | int) -> torch.Generator:
    """A CPU torch generator for the stream called `names` of `seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, *names))


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Inside, numbers nearer to zero than 1.2e-38 are zero on this thread, as they are on a GPU.

    Processors are slow on such numbers, and a softmax with a small temperature is full of them: epochs of FETTLE, which
    learns its temperatures, became twice as long in the course of a run (docs/log.md).
    """
    before = _denormals_are_zero()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _denormals_are_zero() -> bool:
    return bool(torch.tensor([1e-39]).mul(0.5).eq(0.0))


def keep_large_buffers() -> bool:
    """Tell glibc to keep freed large buffers instead of returning them to the system page by page.

    Fresh pages for every large result cost more than the arithmetic in it. Returns whether anything was
    set; `ALIGNREC_NO_MALLOPT=1` opts out. Harmless where glibc is not the C library.
    """
    if not sys.platform.startswith("linux") or os.environ.get("ALIGNREC_NO_MALLOPT"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    m_trim_threshold, m_mmap_threshold = -1, -3
    return bool(mallopt(m_mmap_threshold, 1 << 30) and mallopt(m_trim_threshold, 1 << 30))


def return_freed_memory() -> None:
    """Give memory that was freed back to the system, which glibc does not do by itself after `keep_large_buffers`.

    For the end of a preparation that took more than what follows. Harmless where glibc is not the C library.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def release_pages(mapped: NDArray[Any]) -> None:
    """Take the pages of a file that was mapped and read out of this process's memory; what was not flushed stays.

    They remain in the system's cache, so that reading them once more is cheap; but a process that reads a large file
    row by row no longer seems to grow to its size, and is not ended for it where memory is limited. `mapped` must be
    the whole file's array, not a part; nothing happens to any other.
    """
    owner: object = mapped.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
