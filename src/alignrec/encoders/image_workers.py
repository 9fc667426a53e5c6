"""Worker processes that decode pictures: each writes its squares into the file, only outcomes travel back."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import forkserver, resource_tracker

from alignrec.encoders.image_resizing import ResizeJob, resize_into_file

__all__ = ["resize_all"]

_AHEAD = 3  # jobs handed out for each worker


def resize_all(jobs: Iterable[ResizeJob], workers: int) -> Iterator[tuple[int, bytes]]:
    """First item and outcomes of each job, in their order; only a few jobs are under way at any time.

    `workers` processes go on with these few while nobody asks for the next; 0 works in this process, when asked.

    Raises:
        BrokenProcessPool: a worker died.
    """
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
    resource_tracker.ensure_running()  # before, as it ends by letting the signal through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the server inherits it: Ctrl-C is the parent's
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
