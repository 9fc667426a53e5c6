import pytest

from alignrec.training.early_stopping import EarlyStopping


def test_stops_only_after_more_than_patience_validations_without_improvement() -> None:
    stopping = EarlyStopping(patience=2)
    verdicts = []
    for epoch, value in enumerate([0.5, 0.4, 0.3, 0.2], start=1):
        stopping.update(value, epoch)
        verdicts.append(stopping.stop)
    assert verdicts == [False, False, False, True]


def test_an_equal_value_is_no_improvement() -> None:
    stopping = EarlyStopping(patience=5)
    assert [stopping.update(0.5, 1), stopping.update(0.5, 2), stopping.update(0.5 + 1e-12, 3)] == [True, False, True]
    assert stopping.best_epoch == 3


def test_rounded_as_mmrec_rounds_a_gain_in_the_fifth_place_is_none():
    stopping = EarlyStopping(patience=1, decimals=4)
    assert [stopping.update(value, n) for n, value in enumerate([0.09651, 0.09654, 0.0966])] == [True, False, True]
    assert (stopping.best, stopping.best_epoch) == (0.0966, 2)


@pytest.mark.parametrize("patience", [0, 3])
def test_an_improvement_starts_the_count_again(patience: int) -> None:
    stopping = EarlyStopping(patience)
    for epoch, value in enumerate([0.1, *[0.0] * patience, 0.2], start=1):
        stopping.update(value, epoch)
    assert stopping.waited == 0
    assert not stopping.stop
