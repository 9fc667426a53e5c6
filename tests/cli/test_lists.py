import pytest

from alignrec.cli.lists import whole_numbers, words
from alignrec.errors import UsageError


@pytest.mark.parametrize(
    ("text", "parts"), [("a", ["a"]), ("a,b c", ["a", "b c"]), (" a , b ,", ["a", "b"]), (",", []), ("", [])]
)
def test_parts_stand_between_commas_without_outer_blanks(text, parts):
    assert words(text) == parts


def test_numbers_keep_their_order_and_sign():
    assert whole_numbers("2, 0,-1", "--seeds") == [2, 0, -1]


@pytest.mark.parametrize("text", ["a", "1;2", "1.5", "1,b", ",", ""])
def test_what_holds_no_whole_numbers_is_refused_with_the_option_and_an_example(text):
    with pytest.raises(UsageError, match=rf"cannot read --k {text!r}; write whole numbers .*, as in 10,20$"):
        whole_numbers(text, "--k", example="10,20")
