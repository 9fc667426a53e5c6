import json
import subprocess
import sys

import pytest

from alignrec.cli.data_import import chosen_split, finish_import
from alignrec.data import MmrecSplit, TemporalSplit, read_mmrec
from alignrec.errors import SettingsError, UsageError


def test_without_options_the_source_decides():
    assert chosen_split(None) is None


def test_options_become_the_rules_settings():
    expected = TemporalSplit(valid=0.2, test=0.1, scope="global")
    assert chosen_split("temporal", valid_share=0.2, scope="global") == expected


def test_shares_without_a_rule_are_wrong_use():
    with pytest.raises(UsageError, match="add --split ratio"):
        chosen_split(None, test_share=0.2)


def test_a_scope_for_a_rule_without_one_is_wrong_use():
    with pytest.raises(SettingsError, match=r"unknown setting 'split ratio\.scope'"):
        chosen_split("ratio", scope="user")


def test_the_dataset_is_built_and_described(goldens, tmp_path, capsys):
    raw = read_mmrec(goldens / "dataset.inter")
    finish_import(raw, tmp_path / "dataset", core=0, split=MmrecSplit(), seed=1, json=True)
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["family"]["mmrec"]) == ("dataset", 1.0)
    assert (tmp_path / "dataset" / "dataset.json").is_file()


def test_the_commands_import_nothing_heavy():
    code = "import sys, alignrec.cli.data; print(sorted({'torch', 'polars', 'numpy', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
