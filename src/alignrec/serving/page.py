"""A self-contained HTML page of recommendations: pictures, titles and a metric table; opens from disk."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import polars as pl

from alignrec.artifacts import write_bytes
from alignrec.data import Dataset
from alignrec.encoders import open_picture

__all__ = ["MetricTable", "Shelf", "write_page"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.note { opacity: .75; max-width: 44rem; }
table { border-collapse: collapse; } th, td { padding: .3rem .8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } tr + tr { border-top: 1px solid #8884; }
td.best { font-weight: 700; }
.shelf { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: 1rem; padding: 0; }
.shelf li { list-style: none; font-size: .85rem; }
.shelf img, .shelf .none { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: .5rem; background: #8882; }
.shelf .none { display: grid; place-items: center; }
.hit { color: #0a7d33; font-weight: 600; } @media (prefers-color-scheme: dark) { .hit { color: #5fd68a; } }
"""


@dataclass(frozen=True)
class Shelf:
    """A row of items under a heading; `items` has the columns item_id and title."""

    heading: str
    note: str
    items: pl.DataFrame
    marked: frozenset[str] = frozenset()  # item ids that carry `mark`
    mark: str = ""


@dataclass(frozen=True)
class MetricTable:
    """Figures by row and column; the largest of each column is shown bold."""

    heading: str
    note: str
    rows: Mapping[str, Mapping[str, float]]


def write_page(path: Path, dataset: Dataset, *, title: str, parts: Sequence[Shelf | MetricTable]) -> None:
    """Write the page with the parts in their order; pictures are embedded, so that the file stands alone."""
    body = "\n".join(_shelf(part, dataset) if isinstance(part, Shelf) else _table(part) for part in parts)
    text = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
    write_bytes(path, text.encode())


def _opening(part: Shelf | MetricTable) -> str:
    return f'<h2>{escape(part.heading)}</h2>\n<p class="note">{escape(part.note)}</p>\n'


def _table(part: MetricTable) -> str:
    columns = list(next(iter(part.rows.values())))
    best = {column: max(row[column] for row in part.rows.values()) for column in columns}
    head = "".join(f"<th>{escape(column)}</th>" for column in ["", *columns])
    lines = []
    for name, row in part.rows.items():
        cells = "".join(
            f"<td{' class=best' if row[column] == best[column] else ''}>{row[column]:.4f}</td>" for column in columns
        )
        lines.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return f"{_opening(part)}<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _shelf(part: Shelf, dataset: Dataset) -> str:
    cards = "".join(
        _card(dataset, row["item_id"], row["title"], part.mark if row["item_id"] in part.marked else "")
        for row in part.items.iter_rows(named=True)
    )
    return f'{_opening(part)}<ul class="shelf">{cards}</ul>'


def _card(dataset: Dataset, item_id: str, title: str, mark: str) -> str:
    picture = _data_uri(dataset.image_path(dataset.items.index(item_id)))
    shown = f'<img src="{picture}" alt="{escape(title)}">' if picture else '<div class="none">no picture</div>'
    below = f'<br><span class="hit">{escape(mark)}</span>' if mark else ""
    return f"<li>{shown}<br>{escape(title or item_id)}{below}</li>"


def _data_uri(path: Path | None, size: int = 160) -> str | None:
    """A JPEG data URI of the picture within size x size pixels, or None if it does not open."""
    if path is None:
        return None
    try:
        small = open_picture(path, least_size=size)
    except OSError:
        return None
    small.thumbnail((size, size))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
