import json
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignrec.data.json_lines import JsonLinesTable, json_objects
from alignrec.data.raw import SkipLog
from alignrec.data.table_files import Irregular
from alignrec.errors import DataError


def table(folder: Path, content: str) -> JsonLinesTable:
    file = folder / "a.jsonl"
    file.write_text(content, encoding="utf-8")
    return JsonLinesTable(file, block_bytes=64)


VALUES = st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**53), 2**53) | st.none() | st.booleans()


@settings(max_examples=150, deadline=None)
@given(values=st.lists(VALUES, min_size=1, max_size=20))
def test_the_fast_and_the_exact_way_read_the_same_texts(values: list[object]) -> None:
    content = "\n".join(json.dumps({"a": value}) for value in values)
    with tempfile.TemporaryDirectory() as folder:
        source = table(Path(folder), content)
        exact = pl.concat(list(source.exact_blocks(["a"], SkipLog())))["a"].to_list()
        strings = [(value, text) for value, text in zip(values, exact, strict=True) if isinstance(value, str)]
        assert all(value == text for value, text in strings)
        try:
            fast = pl.concat(list(source.blocks(["a"])))["a"].to_list()
        except Irregular:
            assert any(text.startswith(("[", "{")) or "\0" in text for _, text in strings)
        else:
            assert fast == exact


@given(values=st.lists(st.text('ab"\\é[,'), max_size=3))
def test_a_list_becomes_its_json_text(values: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = table(Path(folder), json.dumps({"a": values}))
        assert json.loads(next(source.exact_blocks(["a"], SkipLog()))["a"][0]) == values
        with pytest.raises(Irregular):
            list(source.blocks(["a"]))


def test_a_whole_number_is_its_digits_whether_written_as_integer_or_not(tmp_path: Path) -> None:
    source = table(tmp_path, '{"a": 7}\n{"a": 7.0}\n{"a": "007"}\n{"b": 1}\n')
    expected = ["7", "7", "007", None]
    assert pl.concat(list(source.blocks(["a"])))["a"].to_list() == expected
    assert pl.concat(list(source.exact_blocks(["a"], SkipLog())))["a"].to_list() == expected


@pytest.mark.parametrize("line", ['{"a": 1', "[1]", "null", '{"a": 1} x', "'a'"])
def test_a_line_that_is_no_object_is_named_or_skipped(tmp_path: Path, line: str) -> None:
    source = table(tmp_path, f'{{"a": 1}}\n\n{line}\n{{"a": 2}}\n')
    with pytest.raises(Irregular):
        list(source.blocks(["a"]))
    with pytest.raises(DataError, match=r"a\.jsonl line 3: .*; write one JSON object per line, or skip"):
        list(source.exact_blocks(["a"], SkipLog()))
    skipped = SkipLog("skip")
    assert pl.concat(list(source.exact_blocks(["a"], skipped))).rows() == [(1, "1"), (4, "2")]
    assert skipped.total == 1


def test_columns_are_the_keys_of_all_the_first_objects(tmp_path: Path) -> None:
    assert table(tmp_path, '{"a": 1}\n{"b": 2, "a": 3}\n').columns == ["a", "b"]


@pytest.mark.parametrize("last", ['{"late": 1}', '{"late": 1, "a": NaN}'], ids=["plain", "with NaN"])
def test_a_key_that_comes_late_is_a_column_too(tmp_path: Path, last: str) -> None:
    content = '{"a": 1}\n' * 300 + f"{last}\n"
    assert table(tmp_path, content).columns == ["a", "late"]
    assert JsonLinesTable(tmp_path / "a.jsonl", alike=True).columns == ["a"]


@pytest.mark.parametrize("content", ["", "{}\n", "nonsense\n"])
def test_a_file_without_keys_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"a\.jsonl"):
        table(tmp_path, content)


def test_deep_nesting_is_a_malformed_line_not_a_crash(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}\n")
    with pytest.raises(DataError, match="line 1: not valid JSON"):
        list(json_objects(file, SkipLog()))


def test_nan_is_a_missing_value(tmp_path: Path) -> None:
    source = table(tmp_path, '{"a": NaN}\n{"a": 1}\n')
    assert pl.concat(list(source.exact_blocks(["a"], SkipLog())))["a"].to_list() == [None, "1"]


def test_half_of_an_emoji_becomes_the_replacement_character(tmp_path: Path) -> None:
    source = table(tmp_path, '{"a": "cut \\ud83d"}\n{"a": "\\ud83d\\ude00"}\n{"a": "\\\\ud83d"}\n')
    with pytest.raises(Irregular):
        list(source.blocks(["a"]))
    rows = pl.concat(list(source.exact_blocks(["a"], SkipLog())))["a"].to_list()
    assert rows == ["cut \ufffd", "\U0001f600", "\\ud83d"]
