import signal
import threading

import pytest

from alignrec.training.interrupt import stop_on_interrupt


def test_the_first_interrupt_asks_and_the_second_stops_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt() as request:  # noqa: PT012
        assert not request.asked
        signal.raise_signal(signal.SIGINT)
        assert request.asked
        signal.raise_signal(signal.SIGINT)
    assert "press Ctrl-C again to stop at once" in capsys.readouterr().err


def test_the_previous_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_interrupt():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_signals_stay_as_they_are() -> None:
    seen = []

    def work() -> None:
        with stop_on_interrupt() as request:
            seen.append((signal.getsignal(signal.SIGINT), request.asked))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(signal.getsignal(signal.SIGINT), False)]
