import json
import shutil

import pytest

from alignrec.errors import UsageError
from alignrec.studies.figures.training_curves import draw_training_curves, read_training_curves


@pytest.fixture
def growing(bpr, tmp_path):
    """A run in the midst of its third epoch's line."""
    run = tmp_path / "growing"
    run.mkdir()
    shutil.copy(bpr["small"] / "run.json", run)
    lines = [
        {"epoch": epoch, "lr": 0.001, "loss": {"bpr": 1.0 / epoch, "total": 2.0 / epoch}, "valid": {"recall@20": 0.1}}
        for epoch in (1, 2)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "metrics.jsonl").write_text(text + '{"epoch": 3, "lo')
    return run


def test_every_number_of_the_log_is_a_row_metrics_first_and_the_total_before_its_parts(growing):
    curves = read_training_curves([growing])
    assert curves.select("part", "term", "epoch", "value").rows() == [
        ("valid", "recall@20", 1, 0.1),
        ("valid", "recall@20", 2, 0.1),
        ("loss", "total", 1, 2.0),
        ("loss", "total", 2, 1.0),
        ("loss", "bpr", 1, 1.0),
        ("loss", "bpr", 2, 0.5),
    ]


def test_terms_can_be_chosen_and_one_that_is_not_there_lists_those_that_are(growing):
    assert set(read_training_curves([growing], terms=["bpr"])["term"]) == {"bpr"}
    with pytest.raises(UsageError, match="no run has a term 'cca'; there are: recall@20, bpr, total"):
        read_training_curves([growing], terms=["cca"])


def test_a_run_in_its_first_epoch_has_nothing_to_draw_yet(growing):
    (growing / "metrics.jsonl").write_text("")
    with pytest.raises(UsageError, match="nothing to draw yet"):
        read_training_curves([growing])


def test_a_line_is_drawn_for_every_run_that_has_the_term_and_the_best_epoch_is_marked(bpr, watched):
    pytest.importorskip("matplotlib")
    curves = read_training_curves([bpr["low"], watched], labels=["BPR", "FREEDOM"])
    figure = draw_training_curves(curves)
    said = {axis.get_ylabel().split("\n")[0]: axis for axis in figure.axes}
    assert [len(said[name].lines) for name in ("total", "fettle.ila", "recall@20")] == [2, 1, 4]
    best = curves.filter(run="BPR", term="recall@20").sort("value", descending=True, maintain_order=True).row(0)
    assert said["recall@20"].lines[1].get_xydata().tolist() == [[best[3], best[4]]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["BPR", "FREEDOM"]
