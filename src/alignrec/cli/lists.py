"""Options that hold several values in one text, separated by commas."""

from alignrec.errors import UsageError

__all__ = ["whole_numbers", "words"]


def words(text: str) -> list[str]:
    """The parts of `text` between commas, without the blanks around them; empty ones are left out."""
    return [part.strip() for part in text.split(",") if part.strip()]


def whole_numbers(text: str, option: str, *, example: str = "0,1,2") -> list[int]:
    """The numbers in `text`, the value of `option`.

    Raises:
        UsageError: a part is not a whole number, or there is no part.
    """
    try:
        found = [int(part) for part in words(text)]
    except ValueError:
        found = []
    if not found:
        raise UsageError(f"cannot read {option} {text!r}; write whole numbers separated by commas, as in {example}")
    return found
