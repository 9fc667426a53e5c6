"""A small finished study for tests of its page: three rows, two seeds, a catalogue with pictures and unkind titles."""

from dataclasses import replace
from pathlib import Path

import polars as pl
from datasets import N_ITEMS, small_dataset
from PIL import Image

from alignrec.data import Catalogue, Dataset
from alignrec.evaluation import DEFAULT_METRICS
from alignrec.studies import evaluate, train
from alignrec.studies.study import Study, StudyEntry, run_study
from alignrec.studies.study_cells import study_cells
from alignrec.studies.study_settings import RowSettings, StudySettings

HOSTILE = "<script>document.title='owned'</script>\"'&<img src=x onerror=alert(1)>"
BROKEN = "the loss is <b>NaN</b>; train with a lower lr"


def illustrated_dataset(path: Path) -> Dataset:
    """Every other item has a picture, one of which does not open; the first title is unkind."""
    made = small_dataset(path.with_name(path.name + "-plain"))
    images = [f"item-{i}.png" if i % 2 == 0 else None for i in range(N_ITEMS)]
    titles = [HOSTILE, *made.catalogue.frame["title"][1:]]
    catalogue = made.catalogue.frame.with_columns(pl.Series("image", images), pl.Series("title", titles))
    dataset = replace(made, catalogue=Catalogue(catalogue)).save(path)
    for number, name in enumerate(images):
        if name is not None:
            Image.new("RGB", (300, 200), (10 * number, 90, 200)).save(path / name)
    (path / "item-18.png").write_bytes(b"no picture")
    return dataset


def small_study(root: Path) -> Study:
    """`bpr` and `lightgcn` along an axis; trained in this process, then found by the study."""
    dataset = illustrated_dataset(root / "small")
    asked = StudySettings(
        name=f"Small & {HOSTILE}",
        question="Is <i>depth</i> needed?",
        answer="Two layers are <b>enough</b>.",
        datasets={"d": str(dataset.path)},
        rows=[
            RowSettings(label="<u>flat</u>", model="bpr"),
            RowSettings(label="deep", model="lightgcn", axes={"model.n_layers": [1, 2]}),
        ],
        seeds=[0, 1],
        settings={"training.epochs": 2},
        metrics=["recall@5", "ndcg@5", "coverage@20"],
    )
    for cell in study_cells(asked):
        out = root / "runs" / cell.key
        evaluate(train(**cell.request(), out=out, command=cell.command(out)), metrics=DEFAULT_METRICS)
    return run_study(asked, root / "study", runs=root / "runs")


def with_failures(study: Study) -> Study:
    """The study with a row that has no run, and without the second seed of its first row."""
    rows = [*study.settings.rows, RowSettings(label="broken", model="bpr", settings={"training.lr": 1e30})]
    first, second, *others = study.entries
    lost = replace(second, run=None, error="out of memory")
    broken = [StudyEntry("broken", "d", seed, f"k{seed}", None, BROKEN, "alignrec train") for seed in (0, 1)]
    settings = study.settings.model_copy(update={"rows": rows})
    return Study(study.path, settings, (first, lost, *others, *broken))
