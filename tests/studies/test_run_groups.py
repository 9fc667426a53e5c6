import numpy as np
import pytest
from datasets import small_dataset

from alignrec.errors import ArtifactError, UsageError
from alignrec.studies import evaluate, train
from alignrec.studies.run_groups import group_runs, read_evaluated

METRICS = ("recall@5", "ndcg@5")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Read only: bpr with two seeds and with another size, vbpr with features and a plug-in, and one not evaluated."""
    root = tmp_path_factory.mktemp("runs")
    data = small_dataset(root / "data")
    made = {}
    for name, words in {
        "bpr-0": {"model": "bpr"},
        "bpr-1": {"model": "bpr", "seed": 1},
        "bpr-8": {"model": "bpr", "settings": {"model": {"embedding_size": 8}}},
        "vbpr": {"model": "vbpr", "features": ["content"], "plugins": ["bm3"]},
    }.items():
        settings = {**words.pop("settings", {}), "training": {"epochs": 1}}
        made[name] = train(data, out=root / name, settings=settings, **words)
        evaluate(made[name], metrics=METRICS)
    made["fresh"] = train(data, model="bpr", out=root / "fresh", settings={"training": {"epochs": 1}})
    return {name: run.path for name, run in made.items()}


def read(path, **words):
    return read_evaluated(path, **{"split": "test", "metrics": METRICS, **words})


def test_seeds_of_one_model_are_one_group_and_settings_tell_the_others_apart(runs):
    groups = group_runs([read(runs[name]) for name in ("bpr-1", "bpr-8", "bpr-0", "vbpr")])
    assert [list(group.runs) for group in groups] == [[0, 1], [0], [0]]
    assert [group.label for group in groups] == [
        "bpr (model.embedding_size=64)",
        "bpr (model.embedding_size=8)",
        "vbpr [content] + bm3",
    ]


def test_per_user_values_are_the_mean_over_seeds(runs):
    first, second = read(runs["bpr-0"]), read(runs["bpr-1"])
    (group,) = group_runs([first, second])
    expected = (first.values["ndcg@5"] + second.values["ndcg@5"]) / 2
    assert np.allclose(group.per_user("ndcg@5"), expected)
    assert group.per_user("ndcg@5").mean() == pytest.approx(np.mean(list(group.figures("ndcg@5").values())))


def test_one_seed_twice_is_refused(runs):
    with pytest.raises(UsageError, match=r"one model with one seed \(0\); give one of them"):
        group_runs([read(runs["bpr-0"]), read(runs["bpr-0"])])


def test_a_run_that_was_not_evaluated_names_the_command(runs):
    with pytest.raises(ArtifactError, match=f"run 'alignrec evaluate {runs['fresh']}' first"):
        read(runs["fresh"])


def test_a_metric_that_was_not_measured_names_the_command(runs):
    with pytest.raises(ArtifactError, match=r"has no recall@7; run 'alignrec evaluate .* --metric recall@7'"):
        read(runs["vbpr"], metrics=["recall@7"])
