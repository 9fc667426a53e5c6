import io

from rich.console import Console

from alignrec.progress import progress_bar, track


def shown(terminal):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120)
    with progress_bar("training", 10, done=4, console=console) as bar:
        bar.advance(3, "loss .5")
        bar.advance()
    return stream.getvalue()


def test_a_terminal_shows_label_count_text_and_eta():
    text = shown(terminal=True)
    assert "training" in text
    assert "8/10" in text
    assert "loss .5" in text
    assert "ETA" in text


def test_a_pipe_shows_nothing():
    assert shown(terminal=False) == ""


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
