import pytest

from alignrec import errors


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "AlignrecError"])
def test_one_except_clause_catches_every_error(name):
    assert issubclass(getattr(errors, name), errors.AlignrecError)


@pytest.mark.parametrize("name", errors.__all__)
def test_wrong_use_exits_with_2_and_failed_work_with_1(name):
    kind = getattr(errors, name)
    assert kind.exit_code == (2 if issubclass(kind, errors.UsageError) else 1)


def test_a_wrong_setting_and_a_missing_extra_are_wrong_use():
    assert issubclass(errors.SettingsError, errors.UsageError)
    assert issubclass(errors.MissingExtraError, errors.UsageError)
