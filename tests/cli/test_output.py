import io
import json
import sys

from alignrec.cli.output import plain_console, print_error, print_json
from alignrec.errors import DataError


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
