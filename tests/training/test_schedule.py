import pytest

from alignrec.training.schedule import exponential, warmup_cosine


def test_the_papers_schedule_loses_four_percent_every_fifty_epochs() -> None:
    factor = exponential(0.96, 50)
    assert factor(0) == 1.0
    assert factor(50) == pytest.approx(0.96)
    assert factor(25) == pytest.approx(0.96**0.5)  # smooth, not in stairs


def test_a_decay_of_one_is_constant() -> None:
    assert {exponential(1.0, 50)(epoch) for epoch in range(100)} == {1.0}


def test_within_an_epoch_the_papers_schedule_stands_still() -> None:
    factor = exponential(0.5, 1)
    assert factor(3.0) == factor(3.99) == 0.125


def test_warm_up_rises_in_a_line_and_the_cosine_falls_to_the_last_factor() -> None:
    factor = warmup_cosine(epochs=10, warmup=2, last=0.1)
    assert [factor(done) for done in (0.0, 0.5, 1.0, 2.0)] == [0.0, 0.25, 0.5, 1.0]
    assert factor(6.0) == pytest.approx((1.0 + 0.1) / 2)  # halfway down
    assert factor(10.0) == factor(11.0) == pytest.approx(0.1)


def test_a_run_that_is_all_warm_up_ends_at_the_whole_rate() -> None:
    factor = warmup_cosine(epochs=2, warmup=2, last=0.1)
    assert [factor(done) for done in (0.0, 1.0, 2.0)] == [0.0, 0.5, 1.0]
