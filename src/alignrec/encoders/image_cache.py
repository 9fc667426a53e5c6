"""The pictures of a catalogue, decoded and resized once: a file of squares of bytes that is read where it lies.

A cache is named after what went into it: each picture's path, size and time of change, and the settings; what differs
in any of these is another cache. It is built by worker processes, each of which writes its squares into the file, so
that memory does not grow with the catalogue. Building that was broken off goes on where it stopped; the folder gets
its name when it is whole. In it: `images.npy` (I, 3, S, S), `outcomes.bin` (a byte an item), `image-cache.json`.
"""

import hashlib
import multiprocessing
import shutil
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from alignrec.artifacts import read_json, write_bytes, write_json
from alignrec.data import Dataset
from alignrec.encoders.image_resizing import OUTCOMES, ImageSettings, ResizeJob, resize_into_file
from alignrec.encoders.pictures import PictureReport
from alignrec.errors import ArtifactError, UsageError
from alignrec.progress import progress_bar

__all__ = ["ImageCache", "build_image_cache", "open_image_cache"]

_FORMAT = 1
_CHUNK = 64  # pictures a job: 10 MB at 224 pixels
_NOT_YET = 255  # outcome of a picture whose turn has not come
_AHEAD = 3  # jobs handed out for each worker


@dataclass(frozen=True, eq=False)
class ImageCache:
    """One square for each item, in item order; zeros where there is no readable picture."""

    folder: Path
    settings: ImageSettings
    images: NDArray[np.uint8]  # (I, 3, S, S), mapped from the disk
    outcomes: NDArray[np.uint8]  # (I,) position in `OUTCOMES`

    @cached_property
    def found(self) -> NDArray[np.bool_]:
        """Which items have a readable picture, (I,)."""
        return np.equal(self.outcomes, OUTCOMES.index("found"))

    def load(self, items: Sequence[int] | NDArray[np.integer] | Tensor) -> Tensor:
        """The squares of the item indices `items` (B,): bytes (B, 3, S, S)."""
        return torch.from_numpy(self.images[np.asarray(items, dtype=np.int64)])

    def report(self, dataset: Dataset) -> PictureReport:
        """How many pictures of `dataset` were found and how many not, with the first that are missing or broken."""
        report = PictureReport()
        troubled = np.flatnonzero(self.outcomes >= OUTCOMES.index("missing"))[:8]
        for item in troubled.tolist():
            report.note(dataset.items.ids[item], dataset.image_path(item), OUTCOMES[self.outcomes[item]])
        counts = np.bincount(self.outcomes, minlength=len(OUTCOMES)).tolist()
        report.counts.clear()
        report.counts.update({name: count for name, count in zip(OUTCOMES, counts, strict=True) if count})
        return report


def open_image_cache(folder: Path) -> ImageCache:
    """A finished cache.

    Raises:
        ArtifactError: a file is missing or damaged, or the cache is not finished.
    """
    about = read_json(folder / "image-cache.json")
    if about.get("format") != _FORMAT:
        raise ArtifactError(f"{folder} has image cache format {about.get('format')!r}, not {_FORMAT}; remove it")
    settings, items = ImageSettings.create(about.get("settings")), int(about["items"])
    state = _read_state(folder, items, settings)
    if state is None or (state >= len(OUTCOMES)).any():
        raise ArtifactError(f"the image cache in {folder} is damaged; remove the folder and it is built anew")
    return ImageCache(folder, settings, _map(folder / "images.npy", items, settings), state)


def build_image_cache(
    dataset: Dataset, settings: ImageSettings | None = None, *, folder: Path | None = None, workers: int = 0
) -> ImageCache:
    """The cache of the pictures of `dataset`: opened if it is there, else built in `folder` (dataset folder/cache).

    `workers` processes decode; 0 decodes in this one. A script that asks for workers must guard its own start by
    `if __name__ == "__main__":`, as always with processes. Pictures that cannot be read are counted, not fatal.

    Raises:
        UsageError: the dataset is only in memory and there is no `folder`, or `workers` is negative.
        ArtifactError: the disk is too small, or a worker died.
    """
    settings = settings or ImageSettings()
    home = folder or (dataset.path / "cache" if dataset.path else None)
    if home is None:
        raise UsageError(f"dataset {dataset.name!r} is only in memory; save it first or say where the image cache goes")
    if workers < 0:
        raise UsageError(f"workers must be 0 (decode in this process) or more, not {workers}")
    final = home / f"images-{settings.size}-{_cache_key(dataset, settings)[:16]}"
    if not final.is_dir():
        try:
            _build(dataset, settings, final, workers)
        except FileNotFoundError:  # somebody else built the same and was first
            if not final.is_dir():
                raise
    return open_image_cache(final)


def _cache_key(dataset: Dataset, settings: ImageSettings) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {settings.model_dump_json()}\n".encode())
    names = dataset.catalogue["image"] if "image" in dataset.catalogue.columns else [None] * dataset.n_items
    for item, name in enumerate(names):
        path = dataset.image_path(item)
        try:
            state = path.stat() if path else None
        except (OSError, ValueError):  # ValueError: a name that no file can have
            state = None
        digest.update(f"{name!r} {state and (state.st_size, state.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


def _build(dataset: Dataset, settings: ImageSettings, final: Path, workers: int) -> None:
    """Make the folder `final`; what is done so far lies beside it, in a folder whose name ends in .partial."""
    partial = final.with_name(f"{final.name}.partial")
    outcomes = _read_state(partial, dataset.n_items, settings)
    if outcomes is None:
        outcomes = _prepare(partial, dataset.n_items, settings)
    done = int((outcomes != _NOT_YET).sum())
    jobs = _jobs(dataset, settings, partial / "images.npy", outcomes)
    try:
        with (
            progress_bar("resizing pictures", dataset.n_items, done) as bar,
            (partial / "outcomes.bin").open("r+b", buffering=0) as journal,
        ):
            for start, codes in _work_off(jobs, workers):
                journal.seek(start)
                journal.write(codes)
                bar.advance(len(codes))
    except BrokenProcessPool:
        raise ArtifactError(
            f"a process that decodes pictures died, for want of memory perhaps, of {workers}; run it again with fewer "
            "workers, it goes on where it stopped"
        ) from None
    counts = np.bincount(np.fromfile(partial / "outcomes.bin", dtype=np.uint8), minlength=len(OUTCOMES)).tolist()
    about = {"format": _FORMAT, "items": dataset.n_items, "settings": settings.model_dump()}
    about |= {"pictures": dict(zip(OUTCOMES, counts, strict=True)), "pillow": PIL.__version__}
    write_json(partial / "image-cache.json", about)
    partial.rename(final)


def _prepare(partial: Path, items: int, settings: ImageSettings) -> NDArray[np.uint8]:
    """An empty cache: squares of zeros, which take no room yet, and outcomes that are still to come."""
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    needed, free = items * 3 * settings.size**2, shutil.disk_usage(partial).free
    if needed > free:
        shutil.rmtree(partial)
        raise ArtifactError(
            f"the images of {items} items at {settings.size} pixels take {needed / 1e9:.1f} GB, {partial.parent} has "
            f"{free / 1e9:.1f} GB free; choose another folder or a smaller size"
        )
    shape = (items, 3, settings.size, settings.size)
    if items:
        np.lib.format.open_memmap(partial / "images.npy", mode="w+", dtype=np.uint8, shape=shape).flush()
    else:
        np.save(partial / "images.npy", np.zeros(shape, dtype=np.uint8))
    write_bytes(partial / "outcomes.bin", bytes([_NOT_YET]) * items)  # last: now the folder counts as begun
    return np.full(items, _NOT_YET, dtype=np.uint8)


def _read_state(folder: Path, items: int, settings: ImageSettings) -> NDArray[np.uint8] | None:
    """Outcomes (I,) so far; None where no cache of this shape was begun."""
    try:
        outcomes = np.fromfile(folder / "outcomes.bin", dtype=np.uint8)
        squares = _map(folder / "images.npy", items, settings)
    except (OSError, ValueError):
        return None
    return outcomes if len(outcomes) == items == len(squares) else None


def _map(path: Path, items: int, settings: ImageSettings) -> NDArray[np.uint8]:
    """The file's squares (I, 3, S, S), not read yet.

    Raises:
        ValueError: they are of another shape.
    """
    if items == 0:
        return np.zeros((0, 3, settings.size, settings.size), dtype=np.uint8)
    squares = np.lib.format.open_memmap(path, mode="r")
    if squares.shape != (items, 3, settings.size, settings.size) or squares.dtype != np.uint8:
        raise ValueError(f"{path} has the shape {squares.shape}")
    return squares


def _jobs(dataset: Dataset, settings: ImageSettings, file: Path, outcomes: NDArray[np.uint8]) -> Iterator[ResizeJob]:
    """What is still to do, a few neighbouring items at a time."""
    square = 3 * settings.size**2
    header = file.stat().st_size - square * len(outcomes)
    for start in range(0, len(outcomes), _CHUNK):
        stop = min(start + _CHUNK, len(outcomes))
        if (outcomes[start:stop] == _NOT_YET).any():
            paths = [path and path.absolute() for path in map(dataset.image_path, range(start, stop))]
            yield ResizeJob(file.absolute(), header + start * square, start, paths, settings)


def _work_off(jobs: Iterable[ResizeJob], workers: int) -> Iterator[tuple[int, bytes]]:
    """First item and outcomes of each job, in their order; only a few jobs are under way at any time."""
    if workers == 0:
        yield from ((job.start, resize_into_file(job)) for job in jobs)
        return
    waiting: deque[tuple[int, Future[bytes]]] = deque()
    with ProcessPoolExecutor(workers, mp_context=_start_method(), initializer=_leave_interrupts_to_parent) as pool:
        try:
            for job in jobs:
                waiting.append((job.start, pool.submit(resize_into_file, job)))
                if len(waiting) >= _AHEAD * workers:
                    start, future = waiting.popleft()
                    yield start, future.result()
            while waiting:
                start, future = waiting.popleft()
                yield start, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_method() -> multiprocessing.context.BaseContext:
    """Not by forking this process, whose threads may hold locks that nobody would open in the copy."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([resize_into_file.__module__])
    return context


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
