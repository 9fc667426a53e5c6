import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alignrec.cli.app import app
from alignrec.data import Dataset
from alignrec.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"u{u},B00000000{i},5.0,{100 * u + i}\n" for u in range(6) for i in range(5)]
    (tmp_path / "ratings_Baby.csv").write_text("".join(rows) + "x,B000000000,5.0,1\n")
    (tmp_path / "meta_Baby.json").write_text("{'asin': 'B000000003', 'title': 'Mug &amp; Cup'}\n")
    return tmp_path


def test_import_amazon_takes_the_published_core_by_default(folder: Path) -> None:
    out = folder / "baby"
    command = ["data", "import", "amazon", str(folder), "--category", "Baby", "--out", str(out), "--json"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert (printed["users"], printed["items"], printed["interactions"]) == (6, 5, 30)
    dataset = Dataset.load(out)
    assert dataset.catalogue.frame["title"].to_list()[dataset.items.index("B000000003")] == "Mug & Cup"


def test_a_failed_import_leaves_no_folder(folder: Path) -> None:
    (folder / "meta_Baby.json").write_text("{'asin': 'B000000003', 'title': 'cut\n")
    command = ["data", "import", "amazon", str(folder), "--category", "Baby", "--out", str(folder / "baby")]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, DataError)
    assert "meta_Baby.json line 1" in str(result.exception)
    assert not (folder / "baby").exists()
    assert CliRunner().invoke(app, [*command, "--on-error", "skip"]).exit_code == 0
    assert Dataset.load(folder / "baby").about["skipped"]["rows"] == 1
