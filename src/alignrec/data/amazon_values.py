"""Values as Amazon's metadata writes them: texts with HTML entities, pictures by address."""

import html
from pathlib import PurePosixPath

__all__ = ["address_stem", "plain_text"]


def plain_text(value: object) -> str | None:
    """Text with HTML entities resolved and runs of white space made one blank; null if nothing is left."""
    if value is None:
        return None
    return " ".join(html.unescape(str(value)).split()) or None


def address_stem(address: object) -> str:
    """The name of a picture in its address, without suffix: "51abc" for ".../images/I/51abc.jpg"."""
    path = str(address or "").partition("?")[0]
    return PurePosixPath(path).stem
