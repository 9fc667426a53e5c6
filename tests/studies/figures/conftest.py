"""Small finished runs that figures are drawn of."""

import pytest
from datasets import small_dataset

from alignrec.studies import evaluate, train
from alignrec.studies.figures import TRACES, trace_recorder

FETTLE = {"user_item_prototypes": 8, "content_prototypes": 8}


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Read only."""
    return small_dataset(tmp_path_factory.mktemp("figures") / "data")


@pytest.fixture(scope="session")
def bpr(data, tmp_path_factory):
    """Read only: evaluated runs by name; three values of one setting, two seeds of the middle one, and another size."""
    root = tmp_path_factory.mktemp("bpr")
    made = {}
    for name, weight, seed, size in [
        ("low", 0.001, 0, 64),
        ("mid-0", 0.1, 0, 64),
        ("mid-1", 0.1, 1, 64),
        ("high", 1.0, 0, 64),
        ("small", 0.1, 0, 8),
    ]:
        settings = {"model": {"reg_weight": weight, "embedding_size": size}, "training": {"epochs": 2}}
        run = train(data, model="bpr", out=root / name, seed=seed, settings=settings)
        evaluate(run, metrics=("recall@5", "ndcg@5"))
        made[name] = run.path
    return made


@pytest.fixture(scope="session")
def watched(data, tmp_path_factory):
    """Read only: FREEDOM with FETTLE for three epochs, both traces recorded."""
    out = tmp_path_factory.mktemp("watched") / "run"
    return train(
        data,
        model="freedom",
        plugins=["fettle"],
        features=["content"],
        out=out,
        settings={"training": {"epochs": 3}, "plugin.fettle": FETTLE},
        observers=[trace_recorder(name, data, ["content"], out) for name in TRACES],
    ).path
