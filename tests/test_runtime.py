import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alignrec.errors import UsageError
from alignrec.runtime import (
    derive_seed,
    flush_denormals,
    keep_large_buffers,
    numpy_rng,
    release_pages,
    resolve_device,
    set_threads,
    torch_rng,
)


def test_auto_is_cuda_only_where_there_is_one():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cpuu", "mps", "meta"])
def test_an_unknown_device_names_the_allowed_ones(name):
    with pytest.raises(UsageError, match="allowed: auto, cpu, cuda, cuda:N"):
        resolve_device(name)


def test_a_cuda_device_this_machine_lacks_is_refused():
    with pytest.raises(UsageError, match=r"'cuda:99' is not on this machine .* use cpu"):
        resolve_device("cuda:99")


def test_threads_are_set_and_must_be_positive():
    before = torch.get_num_threads()
    try:
        set_threads(2)
        assert torch.get_num_threads() == 2
        with pytest.raises(UsageError, match="between 1 and 1024, not 0"):
            set_threads(0)
    finally:
        torch.set_num_threads(before)


names = st.lists(st.one_of(st.integers(0, 99), st.text(max_size=5)), max_size=3)


@given(st.integers(0, 2**32), names)
def test_a_derived_seed_is_repeatable_and_fits_every_generator(seed, stream):
    value = derive_seed(seed, *stream)
    assert value == derive_seed(seed, *stream)
    assert 0 <= value < 2**63


def test_streams_of_one_seed_and_seeds_of_one_stream_differ():
    found = {derive_seed(seed, name, epoch) for seed in range(5) for name in "ab" for epoch in range(20)}
    assert len(found) == 5 * 2 * 20


def test_a_derived_seed_never_changes_between_versions():
    # Runs made by an older version must continue with the same draws.
    assert derive_seed(0) == 2033344993903900207
    assert derive_seed(999, "sampling", 3) == 479210278408328296


def test_generators_repeat_their_draws_and_leave_the_global_state_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert np.array_equal(numpy_rng(3, "a").random(4), numpy_rng(3, "a").random(4))
    assert torch.equal(torch.rand(4, generator=torch_rng(3, "a")), torch.rand(4, generator=torch_rng(3, "a")))
    assert not torch.equal(torch.rand(4, generator=torch_rng(3, "a")), torch.rand(4, generator=torch_rng(3, "b")))
    assert torch.equal(torch.get_rng_state(), state)


def test_keeping_buffers_can_be_opted_out(monkeypatch):
    monkeypatch.setenv("ALIGNREC_NO_MALLOPT", "1")
    assert not keep_large_buffers()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_kept_buffers_are_not_fetched_from_the_system_again():
    # In a process of its own: the setting holds for the whole process. The heap takes some rounds to settle.
    code = """
import resource, sys, torch
from alignrec.runtime import keep_large_buffers
if sys.argv[1] == "keep": assert keep_large_buffers()
torch.set_num_threads(1)
for _ in range(24): torch.ones(16_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8): torch.ones(16_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", code, mode], capture_output=True, check=True, text=True).stdout)
        for mode in ("keep", "fresh")
    }
    assert faults["keep"] * 4 < faults["fresh"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has malloc_trim")
def test_kept_buffers_go_back_to_the_system_when_asked():
    code = """
import re, torch
from pathlib import Path
from alignrec.runtime import keep_large_buffers, return_freed_memory
def resident(): return int(re.search(r"VmRSS:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
assert keep_large_buffers()
torch.set_num_threads(1)
large = torch.ones(64 << 20)
del large
before = resident()
return_freed_memory()
print(before - resident())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert 250 <= int(done.stdout) <= 280  # MB


def test_denormal_numbers_are_zero_inside_and_only_there():
    tiny = torch.tensor([1e-39])  # a tensor of one number, as scalars are folded before they reach the processor

    def kept() -> bool:
        return bool(tiny.mul(0.5) != 0)

    assert kept()
    with flush_denormals():
        assert not kept()
        with flush_denormals():
            assert not kept()
        assert not kept(), "the inner one leaves the outer one on"
    assert kept()


def test_denormal_numbers_come_back_after_an_error():
    tiny = torch.tensor([1e-39])
    with pytest.raises(ZeroDivisionError), flush_denormals():
        _ = 1 // 0
    assert bool(tiny.mul(0.5) != 0)


def test_releasing_pages_loses_nothing_and_leaves_other_arrays_alone(tmp_path):
    written = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.int64, (100_000,))
    written[:] = np.arange(100_000)
    release_pages(written)
    assert np.array_equal(written, np.arange(100_000))
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.arange(100_000))
    own = np.ones(3)
    release_pages(own)
    release_pages(own[:2])
    assert own.tolist() == [1, 1, 1]
