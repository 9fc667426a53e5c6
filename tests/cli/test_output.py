import io
import json
import sys

import pytest
from rich.table import Table

from alignrec.cli.output import chosen_form, plain_console, print_error, print_json, print_tables
from alignrec.errors import DataError, UsageError


def test_json_is_one_object_on_standard_output(capsys):
    print_json({"name": "猫", "k": [1, 2]})
    streams = capsys.readouterr()
    assert json.loads(streams.out) == {"name": "猫", "k": [1, 2]}
    assert (streams.err, "猫" in streams.out) == ("", True)


def test_json_is_whole_where_the_terminal_knows_no_such_letters(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    print_json({"name": "猫"})
    assert json.loads(stream.buffer.getvalue()) == {"name": "猫"}


def test_an_error_is_one_line_on_standard_error_whatever_is_in_it(capsys):
    print_error(DataError("first\nsecond\t\r\n third"))
    streams = capsys.readouterr()
    assert (streams.out, streams.err) == ("", "alignrec: first second third\n")


def test_brackets_and_colons_are_no_instructions_to_the_console(capsys):
    plain_console().print("[M] :baby: [/]")
    assert capsys.readouterr().out == "[M] :baby: [/]\n"


def test_what_goes_into_a_pipe_is_as_wide_as_it_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    wide = Table(*(f"column {number}" for number in range(40)))
    wide.add_row(*("a figure" for _ in range(40)))
    print_tables([wide, "a note"])
    printed = capsys.readouterr().out
    assert printed.count("a figure") == 40
    assert printed.endswith("a note\n")


def test_json_is_short_for_its_format_and_refused_beside_another():
    assert (chosen_form("latex", False), chosen_form("terminal", True), chosen_form("json", True)) == (
        "latex",
        "json",
        "json",
    )
    with pytest.raises(UsageError, match="--json and --format csv print two different things; give one of them"):
        chosen_form("csv", True)
