import sys

import pytest

from alignrec.cli import main


def test_help_names_both_steps_in_the_data_s_order(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["alignrec", "encode", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert 0 < said.index("pretrain") < said.index("extract")
