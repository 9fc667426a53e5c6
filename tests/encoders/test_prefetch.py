import threading

import pytest

from alignrec.encoders.prefetch import prefetch
from alignrec.errors import UsageError


class DiskError(Exception):
    pass


def prefetching():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_values_come_in_their_order_whatever_they_are():
    for values in ([], [None, 0, None], list(range(50))):
        with prefetch(iter(values)) as ready:
            assert list(ready) == values


def test_the_next_values_are_made_while_nobody_asks_and_no_more_than_these():
    made, second, fourth = [], threading.Event(), threading.Event()

    def source():
        for value in range(10):
            made.append(value)
            if value == 2:
                second.set()
            if value == 3:
                fourth.set()
            yield value

    with prefetch(source(), ahead=2) as ready:
        assert next(ready) == 0
        assert second.wait(30)  # 1 and 2, unasked
        assert not fourth.wait(0.05)
        assert made == [0, 1, 2]


def test_values_are_made_in_another_thread():
    with prefetch(threading.current_thread().name for _ in range(1)) as ready:
        assert next(ready).startswith("prefetch")


def test_an_error_comes_where_the_value_would_have():
    def source():
        yield 1
        raise DiskError("gone")

    taken = []

    def reader():
        with prefetch(source()) as ready:
            for value in ready:
                taken.append(value)

    with pytest.raises(DiskError, match="gone"):
        reader()
    assert taken == [1]
    assert prefetching() == []


@pytest.mark.parametrize("error", [DiskError, KeyboardInterrupt])
def test_when_the_reader_stops_the_thread_ends_and_the_source_is_closed(error):
    closed = []

    def source():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    def reader():
        with prefetch(source()) as ready:
            next(ready)
            raise error

    with pytest.raises(error):
        reader()
    assert closed == [True]
    assert prefetching() == []


def test_less_than_one_value_ahead_is_refused():
    with pytest.raises(UsageError, match="ahead must be at least 1 value, not 0"), prefetch([], ahead=0):
        pass
