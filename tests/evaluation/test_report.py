import numpy as np
import polars as pl
import pytest
from rich.console import Console

from alignrec.errors import UsageError
from alignrec.evaluation.report import Report, per_user_frame, report_table, write_per_user


@pytest.fixture
def report() -> Report:
    values = {"recall@5": np.array([0.0, 1.0, 1 / 3]), "recall@20": np.array([1.0, 1.0, 0.5])}
    return Report("test", np.array([2, 5, 7]), values, 6, {"coverage@20": 0.123456789})


def test_means_are_not_rounded(report: Report) -> None:
    assert report.means["recall@5"] == (0 + 1 + 1 / 3) / 3
    assert report["recall@20"] == 2.5 / 3
    assert report["coverage@20"] == 0.123456789


def test_as_dict_holds_figures_and_counts(report: Report) -> None:
    assert list(report.as_dict()) == ["recall@5", "recall@20", "coverage@20", "users", "relevant"]
    assert report.as_dict()["users"] == 3


def test_a_figure_that_is_not_there_is_named(report: Report) -> None:
    with pytest.raises(UsageError, match=r"no 'ndcg@5'; it has recall@5"):
        report["ndcg@5"]


def test_per_user_values_survive_parquet(report: Report, tmp_path) -> None:
    report.to_parquet(tmp_path / "per_user.parquet")
    frame = pl.read_parquet(tmp_path / "per_user.parquet")
    assert frame.columns == ["split", "user", "recall@5", "recall@20"]
    assert frame["user"].to_list() == [2, 5, 7]
    assert frame["recall@5"].to_list() == report.values["recall@5"].tolist()


def test_two_splits_go_into_one_file(report: Report, tmp_path) -> None:
    valid = Report("valid", np.array([2]), {"recall@5": np.ones(1), "recall@20": np.ones(1)}, 1)
    write_per_user(tmp_path / "all.parquet", [valid, report])
    frame = pl.read_parquet(tmp_path / "all.parquet")
    assert frame["split"].to_list() == ["valid", "test", "test", "test"]
    assert frame.equals(per_user_frame([valid, report]))


def test_the_table_rounds_and_aligns_cutoffs(report: Report) -> None:
    console = Console(width=80, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(report)
        console.print(report_table([report], digits=2, title="Baby"))
    text = capture.get()
    blocks = [line for line in text.splitlines() if "test (3 users)" in line]
    assert ["recall" in line for line in blocks] == [True, True]  # two tables; a block begins with its split
    assert "0.4444" in text
    assert "0.1235" in text
    assert "0.12 " in text
    assert "Baby" in text
