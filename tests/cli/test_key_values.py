import pytest

from alignrec.cli.key_values import parse_key_values
from alignrec.errors import SettingsError


def test_values_mean_what_they_say():
    assert parse_key_values(["size=8", "taste=1e-3", "pictures=false"], "shop") == {
        "size": 8,
        "taste": 0.001,
        "pictures": False,
    }


def test_the_section_may_be_written_out():
    assert parse_key_values(["pixels.size=8"], "pixels") == {"size": 8}


def test_nothing_given_sets_nothing():
    assert parse_key_values([], "pixels") == {}


@pytest.mark.parametrize("text", ["size", "=3", "training.lr=1", ""])
def test_what_is_no_key_of_the_section_is_refused(text):
    with pytest.raises(SettingsError, match="write KEY=VALUE, a key of pixels"):
        parse_key_values([text], "pixels")


def test_a_key_given_twice_is_refused():
    with pytest.raises(SettingsError, match="twice"):
        parse_key_values(["size=1", "pixels.size=2"], "pixels")
