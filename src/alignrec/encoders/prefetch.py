"""Reads ahead: what an encoder needs next is decoded and read from the disk while it computes."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar, cast

from alignrec.errors import UsageError

__all__ = ["prefetch"]

_T = TypeVar("_T")
_END = object()


@contextmanager
def prefetch(values: Iterable[_T], ahead: int = 2) -> Iterator[Iterator[_T]]:
    """The same values in the same order, at most `ahead` of them made in advance by a thread of their own.

        with prefetch(batches) as ready:
            for batch in ready: ...

    What goes wrong in the thread is raised where the value would have come. When the block ends, in whichever way, no
    further value is made, the thread has ended, and `values`, if it is a generator, is closed.

    Raises:
        UsageError: `ahead` is less than 1.
    """
    if ahead < 1:
        raise UsageError(f"ahead must be at least 1 value, not {ahead}")
    source = iter(values)
    thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        yield _in_order(source, thread, ahead)
    finally:
        thread.shutdown(wait=True, cancel_futures=True)
        if isinstance(source, Generator):
            source.close()


def _in_order(source: Iterator[_T], thread: ThreadPoolExecutor, ahead: int) -> Iterator[_T]:
    waiting: deque[Future[_T | object]] = deque(thread.submit(next, source, _END) for _ in range(ahead))
    while (value := waiting.popleft().result()) is not _END:
        waiting.append(thread.submit(next, source, _END))
        yield cast("_T", value)
