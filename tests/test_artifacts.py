import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import SafetensorError

from alignrec import artifacts
from alignrec.artifacts import (
    hash_arrays,
    hash_file,
    hash_values,
    is_vacant,
    read_arrays,
    read_json,
    sole_writer,
    staged_folder,
    write_arrays,
    write_bytes,
    write_json,
)
from alignrec.errors import ArtifactError


class DiskFullError(OSError):
    pass


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def full_disk(*_args):
    raise DiskFullError("no space left")


def test_written_bytes_come_back_and_nothing_else_is_left(tmp_path):
    write_bytes(tmp_path / "deep" / "a.bin", b"abc")
    write_bytes(tmp_path / "deep" / "a.bin", b"defg")
    assert (tmp_path / "deep" / "a.bin").read_bytes() == b"defg"
    assert names(tmp_path / "deep") == ["a.bin"]


@pytest.mark.parametrize(("module", "failing"), [("os", "fsync"), ("Path", "write_bytes")])
def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, module, failing):
    write_bytes(tmp_path / "a.bin", b"old")
    monkeypatch.setattr(getattr(artifacts, module), failing, full_disk)
    with pytest.raises(DiskFullError):
        write_bytes(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_arrays_for_which_the_disk_is_too_small_leave_the_old_ones(tmp_path, monkeypatch):
    write_arrays(tmp_path / "a.safetensors", {"x": np.ones(3)})
    before = (tmp_path / "a.safetensors").read_bytes()

    def too_small(_arrays, path, metadata=None):
        path.write_bytes(b"half of it")
        raise SafetensorError("I/O error: no space left")

    monkeypatch.setattr(artifacts, "save_file", too_small)
    with pytest.raises(ArtifactError, match=r"a\.safetensors cannot be written .*no space left"):
        write_arrays(tmp_path / "a.safetensors", {"x": np.zeros(3)})
    assert (tmp_path / "a.safetensors").read_bytes() == before
    assert names(tmp_path) == ["a.safetensors"]


def test_bytes_reach_the_disk_before_the_name_is_given(tmp_path, monkeypatch):
    seen = []
    fsync = os.fsync
    monkeypatch.setattr(artifacts.os, "fsync", lambda handle: (seen.append(names(tmp_path)), fsync(handle)))
    write_bytes(tmp_path / "a.bin", b"abc")
    assert len(seen) == 1
    assert "a.bin" not in seen[0]


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_others_may_read_what_the_user_lets_them(tmp_path, mask, file, folder):
    before = os.umask(mask)
    try:
        write_bytes(tmp_path / "a.bin", b"abc")
        with staged_folder(tmp_path / "out"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == file
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == folder


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, monkeypatch):
    def no_room(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", no_room)
    with pytest.raises(ArtifactError, match=r"a\.bin cannot be written, the disk is full; make room"):
        write_bytes(tmp_path / "a.bin", b"abc")
    assert names(tmp_path) == []


A_FILE = """
artifacts.os.fsync = lambda _handle: os.kill(os.getpid(), signal.SIGKILL)
artifacts.write_bytes(Path(sys.argv[1]) / "a.bin", b"abc")
"""
A_FOLDER = """
with artifacts.staged_folder(Path(sys.argv[1]) / "a") as stage:
    (stage / "first.txt").write_text("one of two")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("written", [A_FILE, A_FOLDER], ids=["file", "folder"])
def test_what_a_killed_writer_left_does_not_count_and_goes_when_the_folder_is_written_again(tmp_path, written):
    folder = tmp_path / "out"
    program = "import os, signal, sys\nfrom pathlib import Path\nfrom alignrec import artifacts\n" + written
    assert subprocess.run([sys.executable, "-c", program, str(folder)]).returncode == -signal.SIGKILL
    assert len(names(folder)) == 1
    assert is_vacant(folder)
    with sole_writer(folder):
        assert names(folder) == []


@pytest.mark.parametrize("name", ["run.json", ".hidden", "a.part"])
def test_a_folder_with_anything_else_is_not_vacant(tmp_path, name):
    assert is_vacant(tmp_path)
    assert is_vacant(tmp_path / "nothing")
    (tmp_path / name).write_text("x")
    assert not is_vacant(tmp_path)
    assert not is_vacant(tmp_path / name)


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    with sole_writer(tmp_path / "out"):
        with pytest.raises(ArtifactError, match="being written by another process"), sole_writer(tmp_path / "out"):
            pass
        with sole_writer(tmp_path / "other"):
            pass
    with sole_writer(tmp_path / "out"):
        pass


def test_where_the_disk_has_no_locks_nobody_is_kept_out(tmp_path, monkeypatch):
    def no_locks(_handle, _how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(artifacts.fcntl, "flock", no_locks)
    with sole_writer(tmp_path / "out"), sole_writer(tmp_path / "out"):
        write_bytes(tmp_path / "out" / "a.bin", b"abc")
    assert names(tmp_path / "out") == ["a.bin"]


def test_json_comes_back_with_letters_of_every_language(tmp_path):
    value = {"name": "Ærø 猫", "values": [1, 2.5, None]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "猫" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_nan_is_never_written_into_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b'{"a": 1'])
def test_damaged_json_is_one_line_that_names_the_file(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"a\.json is not valid JSON .*make the folder anew") as caught:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_json_that_is_no_object_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ArtifactError, match="holds a list, not a JSON object"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("reader", [read_json, read_arrays])
def test_a_missing_file_asks_for_the_right_folder(tmp_path, reader):
    with pytest.raises(ArtifactError, match=r"does not exist; is .* the folder you meant\?"):
        reader(tmp_path / "nothing")


def test_arrays_come_back_with_their_dtypes(tmp_path):
    arrays = {"b": np.arange(6).reshape(2, 3).T, "a": np.array([1.5], dtype=np.float16)}
    write_arrays(tmp_path / "a.safetensors", arrays)
    back = read_arrays(tmp_path / "a.safetensors")
    assert set(back) == {"a", "b"}
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert np.array_equal(back[name], array)


def test_the_same_arrays_give_the_same_bytes_in_any_order(tmp_path):
    one, two = np.ones(3), np.zeros((2, 2), dtype=np.int32)
    write_arrays(tmp_path / "a", {"one": one, "two": two})
    write_arrays(tmp_path / "b", {"two": two, "one": one})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_a_damaged_safetensors_file_is_one_line(tmp_path, damage):
    path = tmp_path / "a.safetensors"
    write_arrays(path, {"x": np.ones(100)})
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[:-8], "garbage": b"\x80\x04garbage" * 9, "empty": b""}[damage])
    with pytest.raises(ArtifactError, match=r"a\.safetensors is not a readable safetensors file") as caught:
        read_arrays(path)
    assert "\n" not in str(caught.value)


def test_what_appears_at_its_place_meanwhile_is_left_alone(tmp_path):
    def write() -> None:
        with staged_folder(tmp_path / "out") as stage:
            (stage / "mine").touch()
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "theirs").touch()

    with pytest.raises(ArtifactError, match="already exists"):
        write()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]


def test_a_staged_folder_appears_whole(tmp_path):
    with staged_folder(tmp_path / "out") as stage:
        (stage / "a").write_text("x")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a").read_text() == "x"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_staged_folder_vanishes_when_the_work_fails(tmp_path, error):
    def work():
        with staged_folder(tmp_path / "out") as stage:
            (stage / "a").write_text("x")
            raise error

    with pytest.raises(error):
        work()
    assert names(tmp_path) == []


def test_a_folder_with_files_is_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    with pytest.raises(ArtifactError, match="already exists; choose another folder"), staged_folder(tmp_path / "out"):
        pass
    assert names(tmp_path / "out") == ["precious"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    with staged_folder(tmp_path / "out") as stage:
        (stage / "a").write_text("x")
    assert names(tmp_path / "out") == ["a"]


def test_the_current_folder_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match=r"the current folder .* name a folder in it"), staged_folder(Path()):
        raise AssertionError("the work has begun")
    assert names(tmp_path) == []


def test_a_replaced_folder_keeps_nothing_of_the_old(tmp_path):
    for content in ("old", "new"):
        with staged_folder(tmp_path / "out", replace=True) as stage:
            (stage / content).write_text("x")
    assert names(tmp_path / "out") == ["new"]
    assert names(tmp_path) == ["out"]


def test_a_failing_replacement_keeps_the_old_folder(tmp_path):
    with staged_folder(tmp_path / "out") as stage:
        (stage / "old").write_text("x")
    with pytest.raises(RuntimeError), staged_folder(tmp_path / "out", replace=True) as stage:
        raise RuntimeError
    assert names(tmp_path / "out") == ["old"]


def test_a_replacement_that_cannot_be_put_in_place_gives_the_old_folder_back(tmp_path, monkeypatch):
    with staged_folder(tmp_path / "out") as stage:
        (stage / "old").write_text("x")
    rename = artifacts.Path.rename

    def fail_for_the_new(self, target):
        if (self / "new").exists():
            full_disk()
        return rename(self, target)

    monkeypatch.setattr(artifacts.Path, "rename", fail_for_the_new)
    with pytest.raises(DiskFullError), staged_folder(tmp_path / "out", replace=True) as stage:
        (stage / "new").write_text("x")
    assert names(tmp_path / "out") == ["old"]
    assert names(tmp_path) == ["out"]


def test_a_file_in_the_way_is_replaced_by_the_folder(tmp_path):
    (tmp_path / "out").write_text("x")
    with staged_folder(tmp_path / "out", replace=True):
        pass
    assert (tmp_path / "out").is_dir()


def test_hash_file_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


arrays = hnp.arrays(st.sampled_from([np.int32, np.float32]), hnp.array_shapes(max_dims=2), elements=st.integers(-9, 9))


@given(arrays, arrays)
def test_equal_hashes_mean_equal_arrays(one, two):
    same = one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    assert (hash_arrays(one) == hash_arrays(two)) == same


@given(arrays)
def test_the_hash_depends_on_values_not_on_memory_layout(array):
    assert hash_arrays(array) == hash_arrays(np.asfortranarray(array)) == hash_arrays(np.repeat(array, 2, axis=0)[::2])


def test_the_hash_tells_shapes_dtypes_and_the_cut_between_arrays_apart():
    zeros = np.zeros(4, dtype=np.int32)
    found = [
        hash_arrays(zeros),
        hash_arrays(zeros.reshape(2, 2)),
        hash_arrays(zeros.astype(np.int64)),
        hash_arrays(zeros[:2], zeros[2:]),
    ]
    assert len(set(found)) == 4


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner, max_size=3)
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_the_hash_of_values_does_not_depend_on_the_order_of_keys(value):
    assert hash_values(value) == hash_values(dict(reversed(value.items())))


@given(st.dictionaries(st.text(), values, max_size=4), st.dictionaries(st.text(), values, max_size=4))
def test_different_values_have_different_hashes(one, two):
    assert (hash_values(one) == hash_values(two)) == (
        json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    )
