"""Pieces of a page's HTML. What comes from people goes through `escape`; everything else returned here is markup."""

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Header", "anchor", "code", "folded", "notes", "section", "table"]

Header = tuple[str, str]  # what a column is called, and its class: "" (text) or "number"


def anchor(title: str) -> str:
    """An id for a part of the page: letters and digits of its title."""
    return "-".join("".join(sign if sign.isalnum() else " " for sign in title.lower()).split())


def section(title: str, body: str, *, name: str = "") -> str:
    """A part with a heading of its own, known as `name` to links."""
    return f'<section id="{escape(name or anchor(title))}">\n<h2>{escape(title)}</h2>\n{body}\n</section>'


def notes(lines: Iterable[str], kind: str = "note") -> str:
    """A paragraph for each line."""
    return "\n".join(f'<p class="{kind}">{escape(line)}</p>' for line in lines if line)


def folded(title: str, body: str) -> str:
    """What is shown when asked for."""
    return f"<details>\n<summary>{escape(title)}</summary>\n{body}\n</details>"


def code(text: str, *, what: str) -> str:
    """Text to take away; the page's script gives it a button that copies it, called after `what` it is."""
    return f'<pre class="code" data-what="{escape(what)}"><code>{escape(text)}</code></pre>'


def table(caption: str, headers: Sequence[Header], rows: Iterable[Sequence[str]], *, sortable: bool = False) -> str:
    """A table that scrolls sideways by itself where it is too wide. `rows` hold whole cells, as markup."""
    head = "".join(f'<th scope="col"{_kind(kind)}>{escape(name)}</th>' for name, kind in headers)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    mark = ' class="sortable"' if sortable else ""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}">\n'
        f"<table{mark}><caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table>\n</div>"
    )


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
