import pytest
import torch

from benchmarks.measure import compare, take_turns


def test_the_sides_take_turns_and_keep_what_they_have_done():
    counts = [0, 10]

    def count(side):
        counts[side] += 1
        return counts[side]

    turns = take_turns(3, (lambda: count(0), False), (lambda: count(1), False))
    assert [[turn.value for turn in side] for side in turns] == [[1, 2, 3], [11, 12, 13]]
    assert counts == [0, 10], "each has a process of its own"
    assert all(turn.seconds >= 0 for side in turns for turn in side)


def test_only_ours_runs_as_training_does():
    def denormals_are_zero():
        return bool(torch.tensor([1e-39]).mul(0.5).eq(0.0))

    (plain,), (ours,) = take_turns(1, (denormals_are_zero, False), (denormals_are_zero, True))
    assert (plain.value, ours.value) == (False, True)


def test_a_side_that_fails_ends_the_measurement(capfd):
    def fail():
        raise ValueError("no such row")

    with pytest.raises(EOFError):
        take_turns(1, (fail, False))
    assert "no such row" in capfd.readouterr().err


def test_a_row_holds_medians_without_the_first_call():
    row = compare("sums", lambda: torch.ones(3), lambda: None, goal=2, repeats=2)
    assert row.plain >= 0
    assert row.goal == 2
