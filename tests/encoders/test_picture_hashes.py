import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from datasets import picture_dataset

from alignrec.encoders import picture_hashes as module


def picture_hashes(dataset, folder):
    """Those of all items, (I, 32)."""
    return np.concatenate(list(module.picture_hashes(dataset, folder)))


@pytest.fixture(autouse=True, params=[2, 4096])
def block(request, monkeypatch):
    """Items looked at together: none of the outcomes depends on it."""
    monkeypatch.setattr(module, "_BLOCK", request.param)


@pytest.fixture
def dataset(tmp_path):
    """Two pictures of an hour ago, one of them twice, an item without, a file that is not there, a folder."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, ns=(0, 3600 * 10**9))
    (tmp_path / "folder").mkdir()
    return picture_dataset(tmp_path, ["a", "b", "a", None, "gone", "folder", "no\0file"])


@pytest.fixture
def read(monkeypatch):
    """Names of the files that were read."""
    names, read = [], module._hash

    def noted(path: Path) -> bytes:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(module, "_hash", noted)
    return names


def sha(content: bytes) -> list[int]:
    return list(hashlib.sha256(content).digest())


def test_a_picture_is_known_by_its_bytes_and_an_item_without_one_has_zeros(dataset, tmp_path):
    hashes = picture_hashes(dataset, tmp_path / "cache")
    assert (hashes.shape, hashes.dtype) == ((7, 32), np.uint8)
    assert hashes.tolist() == [sha(b"a"), sha(b"b"), sha(b"a"), *[[0] * 32] * 4]


def test_what_has_not_changed_is_not_read_again(dataset, tmp_path, read):
    first = picture_hashes(dataset, tmp_path / "cache")
    assert read == ["a", "b"]  # a file that two items share is read once
    assert np.array_equal(picture_hashes(dataset, tmp_path / "cache"), first)
    assert read == ["a", "b"]


@pytest.mark.parametrize(("content", "seconds"), [(b"c", 3601), (b"cc", 3600)], ids=["later", "longer"])
def test_what_has_changed_is_read_again(dataset, tmp_path, read, content, seconds):
    picture_hashes(dataset, tmp_path / "cache")
    (tmp_path / "b").write_bytes(content)
    os.utime(tmp_path / "b", ns=(0, seconds * 10**9))
    assert picture_hashes(dataset, tmp_path / "cache")[1].tolist() == sha(content)
    assert read == ["a", "b", "b"]


def test_an_item_that_names_another_picture_of_the_same_age_and_size_has_the_others_hash(dataset, tmp_path):
    picture_hashes(dataset, tmp_path / "cache")
    changed = picture_dataset(tmp_path, ["b", "b", "a", None, "gone", "folder", "a"])
    assert picture_hashes(changed, tmp_path / "cache")[[0, 6]].tolist() == [sha(b"b"), sha(b"a")]


def test_a_file_of_this_moment_is_read_the_next_time_too(dataset, tmp_path, read):
    (tmp_path / "b").write_bytes(b"1")
    moment = (tmp_path / "b").stat()
    picture_hashes(dataset, tmp_path / "cache")
    (tmp_path / "b").write_bytes(b"2")  # as large, and within one tick of a coarse clock
    os.utime(tmp_path / "b", ns=(moment.st_atime_ns, moment.st_mtime_ns))
    assert picture_hashes(dataset, tmp_path / "cache")[1].tolist() == sha(b"2")
    assert read == ["a", "b", "b"]


def test_a_file_that_could_not_be_read_is_tried_again(dataset, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "_hash", lambda _path: bytes(32))  # as without permission, which changes no time
        assert not picture_hashes(dataset, tmp_path / "cache").any()
    assert picture_hashes(dataset, tmp_path / "cache")[1].tolist() == sha(b"b")


@pytest.mark.parametrize("content", [b"", b"something else"])
def test_a_damaged_memory_is_made_anew(dataset, tmp_path, content):
    first = picture_hashes(dataset, tmp_path / "cache")
    (tmp_path / "cache" / "picture-hashes.npy").write_bytes(content)
    assert np.array_equal(picture_hashes(dataset, tmp_path / "cache"), first)


def test_the_memory_of_another_catalogue_is_not_used(dataset, tmp_path):
    picture_hashes(dataset, tmp_path / "cache")
    assert picture_hashes(picture_dataset(tmp_path, ["b"]), tmp_path / "cache").tolist() == [sha(b"b")]
