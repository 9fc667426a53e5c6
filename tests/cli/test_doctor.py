import json
import sys

import pytest
import torch

import alignrec
from alignrec.cli import doctor


def test_json_names_versions_machine_extras_and_advice(command_line):
    about = json.loads(command_line("doctor", "--json").out)
    assert about["versions"]["alignrec"] == alignrec.__version__
    assert about["versions"]["torch"] == torch.__version__
    assert about["machine"]["threads"] == torch.get_num_threads()
    assert len(about["machine"]["cuda devices"]) == torch.cuda.device_count()
    assert about["extras"]["test"]["installed"]


def test_every_requirement_and_extra_of_the_package_is_looked_at(command_line):
    about = json.loads(command_line("doctor", "--json").out)
    assert {"numpy", "scipy", "polars", "scikit-learn", "safetensors", "pyyaml"} <= set(about["versions"])
    assert all(version for version in about["versions"].values())


def test_people_read_the_same_in_lines(command_line):
    done = command_line("doctor")
    assert (done.code, done.err) == (0, "")
    assert f"torch            {torch.__version__}" in done.out
    assert "advice" in done.out


def test_a_missing_extra_says_how_to_install_it(command_line, monkeypatch):
    monkeypatch.setattr(doctor, "_requirements", lambda: (["numpy"], {"serve": ["fastapi-not-there", "numpy"]}))
    done = command_line("doctor")
    assert "missing: fastapi-not-there" in done.out
    assert "for extra 'serve' (fastapi-not-there) run: pip install 'alignrec[serve]'" in done.out


def test_a_missing_requirement_is_advice_not_a_crash(command_line, monkeypatch):
    monkeypatch.setattr(doctor, "_requirements", lambda: (["numpy", "not-there"], {}))
    done = command_line("doctor")
    assert done.code == 0
    assert "not-there is not installed" in done.out


def test_a_torch_that_cannot_be_imported_is_said_not_raised(command_line, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    done = command_line("doctor")
    assert done.code == 0
    assert "torch cannot be imported; install it again" in done.out


MACHINE = {"torch build": "CPU", "cuda devices": [], "free disk GB": 50.0, "memory GB": 16.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"free disk GB": 0.5}, "less than 2 GB of disk are free"),
        ({"memory GB": 1.0}, "less than 4 GB of memory"),
        ({"memory GB": None}, None),
        ({"torch build": "CUDA 12.8"}, "finds no device; use --device cpu"),
        ({"torch build": "CUDA 12.8", "cuda devices": ["H"]}, None),
    ],
)
def test_advice_is_given_where_something_lacks_and_only_there(monkeypatch, change, words):
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    advice = doctor._advise({"versions": {}, "extras": {}, "machine": MACHINE | change})
    assert advice == [] if words is None else words in advice[0]


def test_a_driver_without_a_cuda_build_of_torch_is_noticed(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert "torch is a CPU build" in doctor._advise({"versions": {}, "extras": {}, "machine": MACHINE})[0]


def test_a_folder_yet_to_be_made_is_looked_at_through_its_parent(command_line, tmp_path):
    about = json.loads(command_line("doctor", "--folder", tmp_path / "not" / "yet", "--json").out)
    assert about["machine"]["free disk GB"] > 0


@pytest.mark.parametrize(("limit", "gigabytes"), [("2000000000\n", 2.0), ("max\n", 16.0), (None, 16.0)])
def test_memory_is_that_of_the_container_where_it_has_less(monkeypatch, tmp_path, limit, gigabytes):
    monkeypatch.setattr(doctor, "_CONTAINER_MEMORY", tmp_path / "memory.max")
    monkeypatch.setattr(doctor.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 3_906_250}.__getitem__)
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    assert doctor._memory() == gigabytes
