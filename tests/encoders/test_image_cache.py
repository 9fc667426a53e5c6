import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import picture_dataset
from PIL import Image

from alignrec.data import Dataset
from alignrec.encoders import image_cache, image_workers
from alignrec.encoders.image_cache import GrowingImageCache, build_image_cache, open_image_cache
from alignrec.encoders.image_resizing import ImageSettings, to_square
from alignrec.errors import ArtifactError, UsageError

SMALL = ImageSettings(size=16, fit="squash")


def draw(folder: Path, number: int, side: int = 24) -> list[str | None]:
    rng = np.random.default_rng(0)
    for n in range(number):
        Image.fromarray(rng.integers(0, 255, (side, side + n % 5, 3), dtype=np.uint8)).save(folder / f"{n}.png")
    return [f"{n}.png" for n in range(number)]


@pytest.fixture
def dataset(tmp_path):
    """Three pictures, an item without, a file that is not there, one of no bytes, one cut off, a bomb."""
    images = draw(tmp_path, 3)
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes((tmp_path / "0.png").read_bytes()[:300])
    Image.new("1", (12_000, 9_000)).save(tmp_path / "bomb.png")
    return picture_dataset(tmp_path, [*images, None, "gone.png", "empty.jpg", "cut.png", "bomb.png"])


def test_squares_are_those_that_pillow_makes(dataset, tmp_path):
    cache = build_image_cache(dataset, SMALL)
    loaded = cache.load([2, 0])
    assert (loaded.shape, loaded.dtype) == ((2, 3, 16, 16), torch.uint8)
    for row, item in enumerate([2, 0]):
        with Image.open(tmp_path / f"{item}.png") as picture:
            assert (loaded[row].numpy() == to_square(picture, SMALL)).all()


def test_items_without_a_readable_picture_are_counted_and_zero(dataset):
    cache = build_image_cache(dataset, SMALL)
    assert cache.found.tolist() == [True] * 3 + [False] * 5
    assert int(cache.load(range(3, 8)).max()) == 0
    report = cache.report(dataset)
    assert report.counts == {"found": 3, "unnamed": 1, "missing": 1, "broken": 3}
    assert report.examples["i5"].endswith("empty.jpg: broken")
    assert set(report.examples) == {"i4", "i5", "i6", "i7"}


def test_worker_processes_write_the_same_bytes(tmp_path):
    dataset = picture_dataset(tmp_path, [*draw(tmp_path, 150), None, "gone.png"])
    alone = build_image_cache(dataset, SMALL, folder=tmp_path / "alone")
    helped = build_image_cache(dataset, SMALL, folder=tmp_path / "helped", workers=2)
    for name in ("images.npy", "outcomes.bin", "image-cache.json"):
        assert (alone.folder / name).read_bytes() == (helped.folder / name).read_bytes()


def test_a_growing_cache_holds_the_squares_it_says_are_ready(tmp_path, monkeypatch):
    dataset = picture_dataset(tmp_path, [*draw(tmp_path, 6), None, "gone.png"])
    monkeypatch.setattr(image_cache, "_CHUNK", 3)
    whole = build_image_cache(dataset, SMALL, folder=tmp_path / "whole")
    growing = GrowingImageCache(dataset, SMALL, folder=tmp_path / "growing")
    assert growing.name == whole.folder.name
    seen = []
    for ready in growing.grow():
        seen.append(ready)
        assert torch.equal(growing.cache.load(range(ready)), whole.load(range(ready)))
        items = np.arange(ready)
        assert np.array_equal(growing.cache.has(items), whole.has(items))
    assert seen == [3, 6, 8, 8]
    assert growing.whole
    assert growing.cache.folder == tmp_path / "growing" / growing.name
    assert list(GrowingImageCache(dataset, SMALL, folder=tmp_path / "growing").grow()) == [8]


def test_a_cache_that_somebody_else_finished_meanwhile_is_read(tmp_path, monkeypatch):
    dataset = picture_dataset(tmp_path, draw(tmp_path, 6))
    monkeypatch.setattr(image_cache, "_CHUNK", 2)
    growing = GrowingImageCache(dataset, SMALL)
    steps = growing.grow()
    assert next(steps) == 2
    other = build_image_cache(dataset, SMALL)
    assert list(steps) == [6]
    assert growing.cache.folder == other.folder
    assert growing.cache.found.all()


def test_the_second_time_nothing_is_decoded(dataset, monkeypatch):
    first = build_image_cache(dataset, SMALL)
    monkeypatch.setattr(image_workers, "resize_into_file", None)
    assert build_image_cache(dataset, SMALL).folder == first.folder


def test_another_setting_or_another_picture_is_another_cache(dataset, tmp_path):
    first = build_image_cache(dataset, SMALL).folder
    assert build_image_cache(dataset, ImageSettings(size=16)).folder != first
    assert build_image_cache(dataset, ImageSettings(size=8, fit="squash")).folder != first
    (tmp_path / "1.png").write_bytes((tmp_path / "2.png").read_bytes())
    assert build_image_cache(dataset, SMALL).folder != first


def test_the_same_pictures_elsewhere_and_touched_are_the_same_cache(dataset, tmp_path):
    first = build_image_cache(dataset, SMALL)
    copied = picture_dataset(tmp_path / "copy", list(dataset.catalogue.frame["image"]))
    shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("cache", "copy"))
    os.utime(tmp_path / "copy" / "1.png", ns=(0, 12345))
    assert build_image_cache(copied, SMALL).folder.name == first.folder.name


def test_building_goes_on_where_it_was_broken_off(tmp_path, monkeypatch):
    dataset = picture_dataset(tmp_path, draw(tmp_path, 20))
    monkeypatch.setattr(image_cache, "_CHUNK", 4)
    whole = build_image_cache(dataset, SMALL, folder=tmp_path / "whole")
    resize, started = image_workers.resize_into_file, []

    def until_the_third(job):
        started.append(job.start)
        if len(started) == 3:
            raise KeyboardInterrupt
        return resize(job)

    monkeypatch.setattr(image_workers, "resize_into_file", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        build_image_cache(dataset, SMALL, folder=tmp_path / "broken")
    assert [path.suffix for path in (tmp_path / "broken").glob("images-*")] == [".partial"]
    resumed = build_image_cache(dataset, SMALL, folder=tmp_path / "broken")
    assert started == [0, 4, 8, 8, 12, 16]
    assert (resumed.folder / "images.npy").read_bytes() == (whole.folder / "images.npy").read_bytes()
    assert resumed.found.all()


def test_a_partial_cache_of_another_shape_is_begun_anew(tmp_path):
    dataset = picture_dataset(tmp_path, draw(tmp_path, 3))
    name = build_image_cache(dataset, SMALL, folder=tmp_path / "first").folder.name
    partial = tmp_path / "second" / f"{name}.partial"
    partial.mkdir(parents=True)
    (partial / "outcomes.bin").write_bytes(b"\0\0\0")
    (partial / "images.npy").write_bytes(b"cut off")
    assert int(build_image_cache(dataset, SMALL, folder=tmp_path / "second").load([0]).max()) > 0


def test_a_disk_too_small_is_said_before_the_work(dataset, monkeypatch, tmp_path):
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(ArtifactError, match=r"8 items at 16 pixels take 0\.0 GB.*smaller size"):
        build_image_cache(dataset, SMALL, folder=tmp_path / "full")
    assert list((tmp_path / "full").glob("images-*")) == []


class Poison:
    """A job that ends the process that unpacks it."""

    start = 0

    def __reduce__(self):
        return os._exit, (1,)


def test_a_worker_that_dies_is_one_line(dataset, monkeypatch):
    monkeypatch.setattr(image_cache, "_jobs", lambda *_: iter([Poison()]))
    with pytest.raises(ArtifactError, match="it goes on where it stopped"):
        build_image_cache(dataset, SMALL, workers=1)


@pytest.mark.parametrize("damage", ["outcomes.bin", "images.npy", "image-cache.json"])
def test_a_damaged_cache_is_named(dataset, damage):
    folder = build_image_cache(dataset, SMALL).folder
    (folder / damage).write_bytes((folder / damage).read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=str(folder)):
        open_image_cache(folder)


def test_an_unfinished_cache_is_not_opened(dataset):
    folder = build_image_cache(dataset, SMALL).folder
    (folder / "outcomes.bin").write_bytes(b"\xff" * 8)
    with pytest.raises(ArtifactError, match="remove the folder"):
        open_image_cache(folder)


def test_a_catalogue_without_pictures_has_an_empty_cache(tmp_path):
    assert not build_image_cache(picture_dataset(tmp_path, [None, None]), SMALL).found.any()
    assert len(build_image_cache(picture_dataset(tmp_path, []), SMALL, folder=tmp_path / "none").found) == 0


def test_wrong_calls_are_refused(dataset):
    with pytest.raises(UsageError, match="workers must be 0"):
        build_image_cache(dataset, SMALL, workers=-1)
    unsaved = Dataset("toy", dataset.users, dataset.items, dataset.log, dataset.catalogue)
    with pytest.raises(UsageError, match="only in memory"):
        build_image_cache(unsaved, SMALL)


MEASURED = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from datasets import picture_dataset
from alignrec.encoders import image_cache, image_workers
from alignrec.encoders.image_resizing import ImageSettings

def memory():  # kB, pages of files included
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

def watched(job):
    codes = resize(job)
    seen.append(memory())
    return codes

folder, resize, seen, growth = Path(sys.argv[1]), image_workers.resize_into_file, [], {}
image_workers.resize_into_file = watched
for items in (64, 400, 4000):  # the first to warm up
    dataset = picture_dataset(folder, ["one.png"] * items)
    seen[:] = before = [memory()]
    cache = image_cache.build_image_cache(dataset, ImageSettings(size=64), folder=folder / f"cache{items}")
    for start in range(0, items, 64):
        batch = cache.load(range(start, min(start + 64, items)))
        seen.append(memory())
    growth[items] = max(seen) - before[0]
print(json.dumps(growth))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_memory_does_not_grow_with_the_catalogue(tmp_path):
    """4000 squares of 64 pixels are 49 MB on the disk; building and reading them takes no more than 400 do."""
    Image.new("RGB", (64, 64), "red").save(tmp_path / "one.png")
    command = [sys.executable, "-c", MEASURED, str(tmp_path), str(Path(__file__).parents[1])]
    growth = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    size = (next((tmp_path / "cache4000").glob("images-*")) / "images.npy").stat().st_size
    assert size > 4000 * 3 * 64**2
    assert growth["4000"] - growth["400"] < size / 1024 / 10, growth  # kB
