import io

import pytest
from rich.console import Console
from rich.progress import Task

from alignrec import progress
from alignrec.progress import progress_bar, track


def shown(terminal, monkeypatch=None, seconds=0.0):
    """What a job of that many seconds leaves behind on the console."""
    if monkeypatch:
        clock = iter([100.0, 100.0 + seconds])
        monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120)
    with progress_bar("training", 1000, done=4, console=console) as bar:
        bar.advance(300, "loss .5")
        bar.advance()
    return stream.getvalue()


def test_a_terminal_shows_label_count_text_and_eta():
    text = shown(terminal=True)
    assert "training" in text
    assert "305/1000" in text
    assert "loss .5" in text
    assert "ETA" in text


@pytest.mark.parametrize(
    ("speed", "text"), [(1234.6, "1,235/s"), (48.2, "48/s"), (2.25, "2.2/s"), (0.25, "4.0 s each")]
)
def test_the_rate_is_steps_in_a_second_or_seconds_a_step(monkeypatch, speed, text):
    monkeypatch.setattr(Task, "speed", speed)
    assert f"m{text}\x1b" in shown(terminal=True)  # between two changes of colour


def test_a_job_that_took_long_leaves_its_own_steps_time_and_rate_behind(monkeypatch):
    assert shown(True, monkeypatch, seconds=2.0).endswith("training: 301 in 2.0 s, 150/s\n")


def test_a_job_of_a_moment_leaves_nothing_behind(monkeypatch):
    assert "training: " not in shown(True, monkeypatch, seconds=0.5)


def test_a_job_that_fails_leaves_no_line(monkeypatch):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    monkeypatch.setattr(progress, "_WORTH_A_LINE", 0.0)

    def fails():
        with progress_bar("training", 10, console=console) as bar:
            bar.advance()
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fails()
    assert "training: " not in stream.getvalue()


def test_a_pipe_shows_nothing(monkeypatch):
    assert shown(False, monkeypatch, seconds=2.0) == ""


def test_progress_never_reaches_standard_output(capsys):
    with progress_bar("x", 2) as bar:
        bar.advance()
    assert capsys.readouterr().out == ""


def test_track_yields_every_value_in_order():
    assert list(track(range(5), "x")) == [0, 1, 2, 3, 4]
    assert list(track(iter("ab"), "x")) == ["a", "b"]


def test_track_takes_one_value_at_a_time():
    taken = []

    def source():
        for value in range(3):
            taken.append(value)
            yield value

    next(iter(track(source(), "x")))
    assert taken == [0]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_note_stays_on_a_terminal_and_is_not_read_as_markup(terminal):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120)
    with progress_bar("training", 2, console=console) as bar:
        bar.note("step 5: [mlm] 1.25")
        bar.advance()
    assert ("step 5: [mlm] 1.25" in stream.getvalue()) == terminal
