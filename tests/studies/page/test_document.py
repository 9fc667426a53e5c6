import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from page_study import HOSTILE, with_failures

from alignrec.errors import ArtifactError, UsageError
from alignrec.studies.page import document as page_module
from alignrec.studies.page.document import write_study_page

VOID = {"meta", "link", "img", "br"}


class Elements(HTMLParser):
    """Tags of a page with their attributes; checks that they are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.text = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def values(self, name):
        return [attrs[name] for _, attrs in self.found if name in attrs]


@pytest.fixture(scope="module")
def written(page_study, tmp_path_factory):
    return write_study_page(with_failures(page_study), tmp_path_factory.mktemp("out") / "page").read_text("utf-8")


def test_the_page_is_well_formed_and_its_links_lead_somewhere(written):
    page = Elements(written)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    links = [value for value in page.values("href") if value != "data:,"]
    assert links == [f"#{name}" for name in ids]


def test_the_page_loads_nothing_from_anywhere(written):
    page = Elements(written)
    assert all(value.startswith("data:image/") for value in page.values("src"))
    assert all(value.startswith(("#", "data:")) for value in page.values("href"))
    style = re.search(r"<style>(.*?)</style>", written, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style


def test_what_people_wrote_becomes_neither_tag_nor_attribute(written):
    page = Elements(written)
    assert sum(tag == "script" for tag, _ in page.found) == 1
    assert page.values("onerror") == []
    assert HOSTILE in page.text  # a title, as it was written
    assert not {"b", "i", "script"} & {tag for tag, _ in page.found if tag != "script"}


def test_name_question_answer_and_state_open_the_page(written, page_study):
    page = Elements(written)
    assert page.text.count(page_study.settings.name) >= 2  # title and heading
    assert 0 < page.text.index("Is <i>depth</i> needed?") < page.text.index("Two layers are <b>enough</b>.")
    assert "4 rows × 1 dataset × 2 seeds: 5 of 8 runs are finished." in page.text


def test_the_same_study_gives_the_same_bytes(page_study, tmp_path):
    first, second = (write_study_page(page_study, tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    assert str(tmp_path).encode() not in first


def test_figures_of_ones_own_are_shown_besides(page_study, tmp_path):
    page = Elements(write_study_page(page_study, tmp_path, users=0, figures={"mine": "<svg/>"}).read_text("utf-8"))
    assert "mine" in page.values("alt")
    assert not any(name.startswith("2-examples") for name in page.values("id"))  # of no users


def test_pictures_of_all_datasets_share_one_budget(page_study, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(page_module, "figures_markup", lambda *_: "")
    monkeypatch.setattr(page_module, "examples_markup", lambda results, **how: asked.append(how["budget"]) or "")
    settings = page_study.settings
    twice = settings.model_copy(update={"datasets": {**settings.datasets, "e": settings.datasets["d"]}})
    entries = [*page_study.entries, *(replace(entry, dataset="e") for entry in page_study.entries)]
    write_study_page(replace(page_study, settings=twice, entries=tuple(entries)), tmp_path)
    assert asked == [page_module.PICTURE_BYTES // 2] * 2


def test_large_figures_leave_less_for_pictures(page_study, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(page_module, "figures_markup", lambda *_: "")
    monkeypatch.setattr(page_module, "examples_markup", lambda results, **how: asked.append(how["budget"]) or "")
    for megabytes in (2.5, 4.5):  # a third more in the page
        path = write_study_page(page_study, tmp_path, figures={"large": "<svg>" + "x" * int(megabytes * 1e6)})
        if asked[-1]:
            assert path.stat().st_size + asked[-1] < page_module.PAGE_BYTES
    assert 0 < asked[0] < page_module.PICTURE_BYTES
    assert asked[1] == 0


def test_a_study_of_which_nothing_ran_has_a_page_too(page_study, tmp_path):
    entries = tuple(replace(entry, run=None, error="disk <full>") for entry in page_study.entries)
    page = Elements(write_study_page(replace(page_study, entries=entries), tmp_path).read_text("utf-8"))
    assert page.text.count("failed: disk <full>") == 3
    assert "No examples: no run is finished." in page.text


def test_a_page_that_is_there_is_replaced_and_its_neighbours_stay(page_study, tmp_path):
    (tmp_path / "index.html").write_text("old")
    (tmp_path / "letter.txt").write_text("dear")
    write_study_page(page_study, tmp_path, users=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "letter.txt"]
    assert (tmp_path / "index.html").read_text("utf-8").startswith("<!doctype html>")


def test_wrong_use_is_one_line(page_study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file; give the folder"):
        write_study_page(page_study, tmp_path / "file")
    with pytest.raises(UsageError, match="users is -1"):
        write_study_page(page_study, tmp_path / "out", users=-1)
    with pytest.raises(ArtifactError, match="no study in"):
        write_study_page(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
