import pytest

from alignrec.studies.page.parts import anchor, code, folded, notes, section, table

UNKIND = "<script>\"'&"
ESCAPED = "&lt;script&gt;&quot;&#x27;&amp;"


@pytest.mark.parametrize(
    "markup",
    [
        section(UNKIND, ""),
        notes([UNKIND]),
        folded(UNKIND, ""),
        code(UNKIND, what=UNKIND),
        table(UNKIND, [(UNKIND, "")], []),
    ],
)
def test_what_people_wrote_is_text_and_nothing_else(markup):
    assert ESCAPED in markup
    assert UNKIND not in markup


def test_an_anchor_is_made_of_letters_and_digits():
    assert anchor('Results on "Baby" & Sports 14') == "results-on-baby-sports-14"


def test_only_tables_that_ask_for_it_sort():
    assert 'class="sortable"' in table("c", [("n", "number")], [["<td>1</td>"]], sortable=True)
    assert "sortable" not in table("c", [("n", "number")], [["<td>1</td>"]])


def test_an_empty_note_leaves_no_paragraph():
    assert notes(["", "said"]) == '<p class="note">said</p>'
