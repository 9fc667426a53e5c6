import pytest

from alignrec.training.schedule import exponential


def test_the_papers_schedule_loses_four_percent_every_fifty_epochs() -> None:
    factor = exponential(0.96, 50)
    assert factor(0) == 1.0
    assert factor(50) == pytest.approx(0.96)
    assert factor(25) == pytest.approx(0.96**0.5)  # smooth, not in stairs


def test_a_decay_of_one_is_constant() -> None:
    assert {exponential(1.0, 50)(epoch) for epoch in range(100)} == {1.0}
