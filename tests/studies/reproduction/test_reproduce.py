import json

import numpy as np
import pytest
from datasets import N_ITEMS, small_dataset

from alignrec.errors import UsageError
from alignrec.evaluation import DEFAULT_METRICS
from alignrec.features import FeatureTable, save_features
from alignrec.studies import evaluate, train
from alignrec.studies.reproduction.reproduce import reproduce
from alignrec.studies.reproduction.request import ReproduceRequest

EPOCH = {"": {"training.epochs": 1}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Read only: a dataset with pictures and texts, and runs of one epoch: two seeds of bpr and of alignrec."""
    root = tmp_path_factory.mktemp("reproduce")
    data = small_dataset(root / "data")
    matrix = np.random.default_rng(0).normal(size=(N_ITEMS, 4)).astype(np.float32)
    save_features(data.path / "features", FeatureTable("image", "image", data.items.ids, matrix))
    for name, model, seed, lr in (
        ("bpr-0", "bpr", 0, 1e-3),
        ("bpr-1", "bpr", 1, 1e-3),
        ("own", "alignrec", 0, 3e-4),
        ("own-1", "alignrec", 1, 3e-4),
    ):
        features = ["image", "content"] if model == "alignrec" else []
        settings = {"training": {"epochs": 1, "lr": lr}}
        run = train(data, model=model, out=root / "runs" / name, seed=seed, features=features, settings=settings)
        evaluate(run, metrics=DEFAULT_METRICS)
    return data, root / "runs"


def request(made, **options):
    return ReproduceRequest(**{"settings": EPOCH, "runs": made[1], **options})


def test_runs_that_fit_the_rows_are_put_beside_the_published_figures(made, tmp_path):
    asked = request(made, models=("bpr", "AlignRec"), seeds=(0, 1))
    found = reproduce("cikm24/table2", {"baby": made[0].path}, tmp_path / "out", asked)
    table = found.tables[0]
    assert [(row.label, row.seeds) for row in table.rows] == [("BPR", 2), ("AlignRec", 2)]
    seeds = [json.loads((made[1] / f"bpr-{n}" / "report.json").read_text())["test"]["recall@20"] for n in (0, 1)]
    cell = table.rows[0].cells[1]
    assert (cell.column, cell.published.value) == ("recall@20", 0.0575)
    assert cell.ours == pytest.approx(np.mean(seeds))
    assert cell.std == pytest.approx(np.std(seeds, ddof=1))
    assert "AlignRec: features image (4) + content (6) are not AlignRec's (768)" in "; ".join(table.notes())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "reproduction.json", "study-baby", "table.csv", "table.md", "table.tex",
    }  # fmt: skip


def test_a_named_run_takes_its_row_whatever_its_settings(made, tmp_path):
    given = {"BPR": (made[1] / "bpr-0", made[1] / "bpr-1")}
    asked = ReproduceRequest(models=("bpr",), given=given)  # the recipe has 1000 epochs
    found = reproduce("fettle/table2", {"Baby": made[0].path}, tmp_path / "out", asked)
    assert found.tables[0].rows[0].runs == {0: str(made[1] / "bpr-0"), 1: str(made[1] / "bpr-1")}


@pytest.mark.parametrize(
    ("model", "names", "message"),
    [
        ("sgl", ["bpr-0"], "is a run of bpr and row 'SGL' is of sgl"),
        ("bpr", ["bpr-0", "bpr-0"], "two runs with one seed"),
        ("xyz", ["bpr-0"], "no row 'xyz' in fettle/table2 on Baby"),
    ],
)
def test_a_run_that_does_not_fit_a_row_is_refused(made, tmp_path, model, names, message):
    asked = ReproduceRequest(given={model: tuple(made[1] / name for name in names)})
    with pytest.raises(UsageError, match=message):
        reproduce("fettle/table2", {"Baby": made[0].path}, tmp_path / "out", asked)


def test_a_setting_of_a_model_that_is_in_no_row_is_refused(made, tmp_path):
    asked = request(made, settings={"ncll": {"training.lr": 1.0}})
    with pytest.raises(UsageError, match="no row 'ncll' in cikm24/table2"):
        reproduce("cikm24/table2", {"baby": made[0].path}, tmp_path / "out", asked)


def test_reuse_trains_nothing_and_names_what_is_not_there(made, tmp_path):
    asked = request(made, reuse=True, settings={})
    found = reproduce("cikm24/table2", {"baby": made[0].path}, tmp_path / "out", asked)
    assert {row.label for row in found.tables[0].rows} == {"BPR", "AlignRec"}
    assert found.tables[0].left_out["MGCN"] == f"no run of it in {made[1]}"


def test_epochs_until_convergence_are_the_best_epochs(made, tmp_path):
    settings = {"training": {"epochs": 3, "validate_every": 3}}
    run = train(made[0], model="bm3", out=tmp_path / "bm3", features=["image", "content"], settings=settings)
    evaluate(run)
    asked = ReproduceRequest(models=("bm3",), given={"bm3": (run.path,)})
    row = reproduce("dream/figure11", {"baby": made[0].path}, tmp_path / "out", asked).tables[0].rows[0]
    assert [(cell.column, cell.ours, cell.published.value) for cell in row.cells] == [("epochs", 3.0, 106)]


def test_statistics_are_counted(made, tmp_path):
    found = reproduce("fettle/table1", {"baby": made[0].path}, tmp_path / "out")
    cells = {cell.column: cell.ours for cell in found.tables[0].rows[0].cells}
    assert cells == {"users": 30, "items": 20, "interactions": 240, "sparsity %": 60.0}


def test_features_are_probed(made, tmp_path):
    found = reproduce("cikm24/table3", {"baby": made[0].path}, tmp_path / "out", ReproduceRequest(models=("amazon",)))
    row = found.tables[0].rows[0]
    assert (row.label, row.features, row.seeds) == ("Amazon", ("image", "content"), None)
    assert row.cells[0].column == "zero-shot recall@10"
    assert 0 <= row.cells[0].ours <= 1


def test_costs_are_measured(made, tmp_path):
    asked = ReproduceRequest(models=("alignrec",))
    found = reproduce("cikm24/table9", {"baby": made[0].path}, tmp_path / "out", asked)
    cells = {cell.column: cell.ours for cell in found.tables[0].rows[0].cells}
    # (U + I) d + I D + (D d + d) + (d d + d), as Table 9 counts it but for two layers that nothing used
    assert cells["parameters (M)"] * 1e6 == pytest.approx(50 * 64 + 20 * 10 + 10 * 64 + 64 + 64 * 64 + 64)


def test_wrong_use_is_one_line(made, tmp_path):
    with pytest.raises(UsageError, match="no row 'x' in cikm24/table2 on Baby; there are: BPR, LightGCN"):
        reproduce("cikm24/table2", {"baby": made[0].path}, tmp_path / "out", ReproduceRequest(models=("x",)))
    with pytest.raises(UsageError, match=r"nothing of cikm24/table10 can be computed on small: 12: needs layers-12"):
        reproduce("cikm24/table10", {"baby": made[0].path}, tmp_path / "out")
