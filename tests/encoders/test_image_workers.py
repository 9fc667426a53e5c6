import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from PIL import Image

from alignrec.encoders.image_resizing import ImageSettings, ResizeJob
from alignrec.encoders.image_workers import _start_method, resize_all

SQUARE = 3 * 8 * 8


@pytest.fixture
def jobs(tmp_path):
    """Six pictures, two a job, and the file they go to."""
    rng = np.random.default_rng(0)
    for n in range(6):
        Image.fromarray(rng.integers(0, 255, (10, 10, 3), dtype=np.uint8)).save(tmp_path / f"{n}.png")
    file = tmp_path / "squares"
    file.write_bytes(bytes(6 * SQUARE))
    paths = [tmp_path / f"{n}.png" for n in range(6)]
    return [ResizeJob(file, n * SQUARE, n, paths[n : n + 2], ImageSettings(size=8)) for n in (0, 2, 4)]


def test_without_workers_a_job_is_done_when_it_is_asked_for(jobs):
    done = resize_all(jobs, 0)
    assert next(done) == (0, b"\0\0")
    written = np.frombuffer(jobs[0].file.read_bytes(), dtype=np.uint8).reshape(6, SQUARE).any(axis=1)
    assert written.tolist() == [True, True, False, False, False, False]


def test_workers_go_on_with_the_next_jobs_and_answer_in_order(jobs):
    done = resize_all(jobs, 1)
    assert next(done) == (0, b"\0\0")
    assert list(done) == [(2, b"\0\0"), (4, b"\0\0")]
    assert np.frombuffer(jobs[0].file.read_bytes(), dtype=np.uint8).reshape(6, SQUARE).any(axis=1).all()


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="not on this system")
def test_an_interrupt_at_the_keyboard_is_for_this_process_alone_from_the_start():
    """So that nothing but this process speaks when Ctrl-C is pressed while others still import what they need."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with ProcessPoolExecutor(1, mp_context=_start_method()) as pool:
        assert signal.SIGINT in pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, []).result()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    assert signal.SIGINT not in before


def test_a_reader_that_stops_leaves_no_process(jobs):
    done = resize_all(jobs, 1)
    next(done)
    done.close()
    assert multiprocessing.active_children() == []
