import json
import shutil

import numpy as np
import polars as pl
import pytest

from alignrec.artifacts import write_arrays
from alignrec.errors import ArtifactError, UsageError
from alignrec.studies import evaluate
from alignrec.studies.figures.long_tail import draw_long_tail, read_long_tail

TAIL = 9  # training interactions; items of the small dataset have about nine
WORDS = {"metrics": ["recall@1"], "long_tail": TAIL}


def degrees(data):
    return np.bincount(data.split("train").indices, minlength=data.n_items)


@pytest.fixture
def knows_the_tail(bpr, data, tmp_path):
    """A run that ranks a user's test item first if it is in the long tail, and else last."""
    run = shutil.copytree(bpr["low"], tmp_path / "run")
    wanted = data.split("test").toarray() * np.where(degrees(data) < TAIL, 1.0, -1.0)  # (U, I)
    vectors = {"final.users": np.eye(data.n_users, dtype=np.float32), "final.items": wanted.T.astype(np.float32)}
    write_arrays(run / "representations.safetensors", vectors)
    evaluate(run, metrics=("recall@1",))
    return run


def test_a_model_that_knows_only_the_tail_is_right_there_and_nowhere_else(knows_the_tail, data):
    numbers = read_long_tail([knows_the_tail], **WORDS)
    tail_users = int((data.split("test") @ (degrees(data) < TAIL)).sum())
    assert 0 < tail_users < data.n_users
    assert numbers.select("by", "segment", "mean", "users").rows() == [
        ("item", f"< {TAIL}", 1.0, tail_users),
        ("item", f"≥ {TAIL}", 0.0, data.n_users - tail_users),
        ("user", f"0–{TAIL - 1}", tail_users / data.n_users, data.n_users),
    ]


def test_seeds_are_one_bar_with_their_spread(bpr):
    numbers = read_long_tail([bpr["mid-0"], bpr["low"], bpr["mid-1"]], metrics=["recall@5"], labels=["mid", "low"])
    both = [json.loads((bpr[name] / "report.json").read_text())["test"]["recall@5"] for name in ("mid-0", "mid-1")]
    of_all = numbers.filter(run="mid", by="user").row(0, named=True)  # all users have six training interactions
    assert (of_all["segment"], of_all["seeds"]) == ("6–10", 2)
    assert of_all["mean"] == pytest.approx(np.mean(both))
    assert of_all["std"] == pytest.approx(np.std(both, ddof=1))
    assert numbers.filter(run="low")["std"].null_count() == len(numbers.filter(run="low"))


def test_the_test_split_of_a_run_that_was_not_evaluated_stays_closed(watched):
    with pytest.raises(ArtifactError, match=f"alignrec evaluate {watched}"):
        read_long_tail([watched], metrics=["recall@5"])


def test_runs_on_two_datasets_and_wrong_labels_are_refused(bpr, tmp_path):
    other = shutil.copytree(bpr["low"], tmp_path / "other")
    plan = json.loads((other / "run.json").read_text())
    plan["dataset"] = {"name": "elsewhere", "hash": "0" * 64}
    (other / "run.json").write_text(json.dumps(plan))
    with pytest.raises(UsageError, match=r"different datasets \(small, .*\)"):
        read_long_tail([bpr["low"], other], metrics=["recall@5"])
    with pytest.raises(UsageError, match="2 labels for 1 models"):
        read_long_tail([bpr["mid-0"], bpr["mid-1"]], metrics=["recall@5"], labels=["one", "two"])


def test_every_group_of_bars_carries_its_number_of_users(knows_the_tail, bpr, data):
    pytest.importorskip("matplotlib")
    numbers = read_long_tail([knows_the_tail], **WORDS)
    items, users = draw_long_tail(numbers).axes
    counts = [text.get_text() for text in items.texts]
    assert counts == [str(count) for count in numbers.filter(by="item")["users"]]
    assert [bar.get_height() for bar in items.patches] == [1.0, 0.0]
    assert [text.get_text() for text in users.texts] == [str(data.n_users)]


def test_twelve_models_are_told_apart():
    pytest.importorskip("matplotlib")
    about = {"by": "item", "segment": "< 4", "metric": "recall@20", "mean": 0.1, "std": None, "seeds": 1, "users": 3}
    numbers = pl.DataFrame([{"run": f"model {place}", **about} for place in range(12)])
    (panel,) = draw_long_tail(numbers).axes
    assert len({(bar.get_facecolor(), bar.get_hatch()) for bar in panel.patches}) == 12
