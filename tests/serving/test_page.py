from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from datasets import small_dataset
from PIL import Image

from alignrec.data import Catalogue, Dataset
from alignrec.serving.page import MetricTable, Shelf, write_page


class Elements(HTMLParser):
    """Collects the tags of a page and checks that they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    dataset = small_dataset(tmp_path / "small")
    Image.new("RGB", (300, 200), "red").save(tmp_path / "small" / "red.png")
    images = ["red.png", "gone.png", *[None] * (dataset.n_items - 2)]
    catalogue = dataset.catalogue.frame.with_columns(pl.Series("image", images, dtype=pl.String))
    return Dataset("small", dataset.users, dataset.items, dataset.log, Catalogue(catalogue), path=dataset.path)


def page_of(dataset: Dataset, path: Path, *parts: Shelf | MetricTable) -> Elements:
    write_page(path, dataset, title="Shop & <friends>", parts=parts)
    elements = Elements()
    elements.feed(path.read_text())
    assert elements.open == []
    return elements


def test_pictures_are_embedded_and_missing_ones_are_said(dataset: Dataset, tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": ["item-0", "item-1", "item-2"], "title": ["a", "b", "c"]})
    page = page_of(dataset, tmp_path / "p.html", Shelf("h", "n", items))
    images = [attrs["src"] for tag, attrs in page.found if tag == "img"]
    assert len(images) == 1
    assert images[0].startswith("data:image/jpeg;base64,")
    assert page.text.count("no picture") == 2


def test_a_picture_made_to_fill_the_memory_is_left_out(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    items = pl.DataFrame({"item_id": ["item-0"], "title": ["a"]})
    assert page_of(dataset, tmp_path / "p.html", Shelf("h", "n", items)).text.count("no picture") == 1


def test_titles_cannot_break_the_page(dataset: Dataset, tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": ["item-0"], "title": ['"><script>alert(1)</script>']})
    page = page_of(dataset, tmp_path / "p.html", Shelf("h", "n", items))
    assert not any(tag == "script" for tag, _ in page.found)
    assert '"><script>alert(1)</script>' in page.text
    assert "Shop & <friends>" in page.text


def test_only_marked_items_carry_the_mark(dataset: Dataset, tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": ["item-0", "item-1"], "title": ["a", "b"]})
    page = page_of(dataset, tmp_path / "p.html", Shelf("h", "n", items, frozenset(["item-1", "item-9"]), "bought"))
    assert page.text.count("bought") == 1


def test_the_largest_of_each_column_is_bold(dataset: Dataset, tmp_path: Path) -> None:
    rows = {"x": {"recall@20": 0.1, "ndcg@20": 0.4}, "y": {"recall@20": 0.2, "ndcg@20": 0.3}}
    page = page_of(dataset, tmp_path / "p.html", MetricTable("h", "n", rows))
    cells = [attrs.get("class") for tag, attrs in page.found if tag == "td"]
    assert cells == [None, None, "best", None, "best", None]


def test_the_page_asks_nothing_of_the_network(dataset: Dataset, tmp_path: Path) -> None:
    page_of(dataset, tmp_path / "p.html", Shelf("h", "n", pl.DataFrame({"item_id": ["item-0"], "title": ["a"]})))
    text = (tmp_path / "p.html").read_text()
    assert "http:" not in text
    assert "https:" not in text
