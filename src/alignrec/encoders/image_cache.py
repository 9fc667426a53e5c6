"""The pictures of a catalogue, decoded and resized once: a file of squares of bytes that is read where it lies.

A cache is named after what went into it: the bytes of every item's picture and the settings; what differs in any of
these is another cache. It is built by worker processes, each of which writes its squares into the file, so
that memory does not grow with the catalogue. Building that was broken off goes on where it stopped; the folder gets
its name when it is whole. In it: `images.npy` (I, 3, S, S), `outcomes.bin` (a byte an item), `image-cache.json`.
"""

import hashlib
import shutil
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from alignrec.artifacts import read_json, write_bytes, write_json
from alignrec.data import Dataset
from alignrec.encoders.image_resizing import OUTCOMES, ImageSettings, ResizeJob
from alignrec.encoders.image_workers import resize_all
from alignrec.encoders.picture_hashes import picture_hashes
from alignrec.encoders.pictures import PictureReport
from alignrec.errors import ArtifactError, UsageError
from alignrec.progress import progress_bar
from alignrec.runtime import release_pages

__all__ = ["GrowingImageCache", "ImageCache", "build_image_cache", "open_image_cache"]

_FORMAT = 1
_CHUNK = 64  # pictures a job: 10 MB at 224 pixels
_NOT_YET = 255  # outcome of a picture whose turn has not come


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

    def has(self, items: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the item indices `items` (B,) have a readable picture; right also while the cache grows."""
        return np.equal(self.outcomes[items], OUTCOMES.index("found"))

    def load(self, items: Sequence[int] | NDArray[np.integer] | Tensor) -> Tensor:
        """The squares of the item indices `items` (B,): bytes (B, 3, S, S)."""
        squares = torch.from_numpy(self.images[np.asarray(items, dtype=np.int64)])
        release_pages(self.images)
        return squares

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
    growing = GrowingImageCache(dataset, settings, folder=folder, workers=workers)
    if not growing.whole:
        shown = growing.ready
        with progress_bar("resizing pictures", dataset.n_items, shown) as bar:
            for ready in growing.grow():
                bar.advance(ready - shown)
                shown = ready
    return growing.cache


class GrowingImageCache:
    """A cache that can be read while it is made: `cache` holds the squares of the first `ready` items.

    Arguments and errors are those of `build_image_cache`.
    """

    def __init__(
        self, dataset: Dataset, settings: ImageSettings | None = None, *, folder: Path | None = None, workers: int = 0
    ) -> None:
        self._dataset, self._settings, self._workers = dataset, settings or ImageSettings(), workers
        home = folder or (dataset.path / "cache" if dataset.path else None)
        if home is None:
            raise UsageError(
                f"dataset {dataset.name!r} is only in memory; save it first or say where the image cache goes"
            )
        if workers < 0:
            raise UsageError(f"workers must be 0 (decode in this process) or more, not {workers}")
        self._final = home / f"images-{self._settings.size}-{_cache_key(dataset, self._settings, home)[:16]}"
        self._partial = self._final.with_name(f"{self._final.name}.partial")
        if self._final.is_dir():
            self._open()
        else:
            self.cache = _begin(self._partial, dataset.n_items, self._settings)
            self.ready = _count_ready(self.cache.outcomes)
            self.whole = False

    @property
    def name(self) -> str:
        """Name of the finished cache's folder; it is another wherever anything that goes in is."""
        return self._final.name

    def grow(self) -> Generator[int]:
        """Decode what is not there yet: says `ready` each time it has risen, and at the end gives the cache its name.

        Nothing more is decoded while nobody asks for the next number, but for a few pictures that workers hold.

        Raises:
            ArtifactError: a worker died.
        """
        if not self.whole:
            try:
                yield from self._decode()
                self._finish()
            except FileNotFoundError:  # somebody else built the same and was first
                if not self._final.is_dir():
                    raise
            self._open()
        yield self.ready

    def _decode(self) -> Iterator[int]:
        outcomes, file = self.cache.outcomes, self._partial / "images.npy"
        try:
            with (self._partial / "outcomes.bin").open("r+b", buffering=0) as journal:
                for start, codes in resize_all(_jobs(self._dataset, self._settings, file, outcomes), self._workers):
                    journal.seek(start)
                    journal.write(codes)
                    outcomes[start : start + len(codes)] = np.frombuffer(codes, dtype=np.uint8)
                    self.ready = _count_ready(outcomes)
                    yield self.ready
        except BrokenProcessPool:
            raise ArtifactError(
                f"a process that decodes pictures died, for want of memory perhaps, of {self._workers}; run it again "
                "with fewer workers, it goes on where it stopped"
            ) from None

    def _finish(self) -> None:
        """Describe the cache and give it its name."""
        counts = np.bincount(self.cache.outcomes, minlength=len(OUTCOMES)).tolist()
        about = {"format": _FORMAT, "items": self._dataset.n_items, "settings": self._settings.model_dump()}
        about |= {"pictures": dict(zip(OUTCOMES, counts, strict=True)), "pillow": PIL.__version__}
        write_json(self._partial / "image-cache.json", about)
        self.cache = replace(self.cache, images=self.cache.images[:0].copy())  # some systems move no file that is open
        if self._final.is_dir():  # somebody else built the same and was first
            shutil.rmtree(self._partial)
        else:
            self._partial.rename(self._final)

    def _open(self) -> None:
        self.cache = open_image_cache(self._final)
        self.ready = self._dataset.n_items
        self.whole = True


def _cache_key(dataset: Dataset, settings: ImageSettings, home: Path) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {settings.model_dump_json()}\n".encode())
    for hashes in picture_hashes(dataset, home):
        digest.update(hashes.data)
    return digest.hexdigest()


def _begin(partial: Path, items: int, settings: ImageSettings) -> ImageCache:
    """What was done so far in the folder `partial`, or an empty cache in it."""
    outcomes = _read_state(partial, items, settings)
    if outcomes is None:
        outcomes = _prepare(partial, items, settings)
    return ImageCache(partial, settings, _map(partial / "images.npy", items, settings), outcomes)


def _count_ready(outcomes: NDArray[np.uint8]) -> int:
    """How many items come before the first whose turn has not come."""
    waiting = np.flatnonzero(outcomes == _NOT_YET)
    return int(waiting[0]) if len(waiting) else len(outcomes)


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
