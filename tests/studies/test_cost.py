import json

import pytest
import torch
from datasets import N_ITEMS, N_USERS, small_dataset

from alignrec.errors import SettingsError, UsageError
from alignrec.studies.cost import measure_costs

IDS, SIZE, WIDTH = (N_USERS + N_ITEMS) * 64, 64, 6  # `content` has 6 columns


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("cost") / "small")


@pytest.fixture(scope="module")
def table(data):
    return measure_costs(data, ["bpr", "alignrec", "freedom", "bm3"], features=["content"], steps=2, repeats=2)


def test_parameters_are_those_that_are_trained(table):
    layer = WIDTH * SIZE + SIZE
    content = N_ITEMS * WIDTH + layer
    counts = {cost.model: cost.parameters for cost in table.costs}
    assert counts == {
        "lightgcn": IDS,
        "bpr": IDS,
        "alignrec": IDS + content + SIZE * SIZE + SIZE,
        "freedom": IDS + content,
        "bm3": IDS + content + SIZE * SIZE + SIZE,
    }


def test_the_formula_gives_the_counts_the_paper_prints():
    users, items = 19445, 7050
    alignrec = (users + items) * 64 + 768 * items + 61760  # with two layers of its code that nothing uses
    freedom = (users + items) * 64 + items * (4096 + 384) + (4097 + 385) * 64
    assert round(alignrec / 1e6, 2) == 7.17
    assert freedom / 1e6 == pytest.approx(33.56, abs=0.01)


def test_the_reference_is_itself_times_one_and_times_are_positive(table):
    assert (table.cost("lightgcn").epoch_ratio, table.cost("lightgcn").inference_ratio) == (1.0, 1.0)
    assert all(cost.inference_seconds > 0 and cost.epoch_seconds > 0 for cost in table.costs)
    alignrec = table.cost("alignrec")
    assert alignrec.epoch_ratio == pytest.approx(alignrec.epoch_seconds / table.cost("lightgcn").epoch_seconds)


def test_every_form_holds_every_model(table):
    assert len(json.loads(json.dumps(table.as_dict(), allow_nan=False))["models"]) == 5
    assert all(f"| {cost.model} |" in table.grid().to_markdown() for cost in table.costs)


def test_tables_may_differ_by_model(data):
    found = measure_costs(data, ["vbpr", "bm3"], features={"vbpr": ["content"], "bm3": ["content"]}, steps=1, repeats=1)
    assert found.features == {"content": WIDTH}


def test_the_global_generator_is_left_as_it_was(data):
    before = torch.get_rng_state()
    measure_costs(data, ["bm3"], features=["content"], steps=1, repeats=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_wrong_use_is_one_line(data, table):
    with pytest.raises(UsageError, match="steps is 0 and repeats is 1"):
        measure_costs(data, ["bpr"], steps=0, repeats=1)
    with pytest.raises(SettingsError, match="needs item features"):
        measure_costs(data, ["alignrec"])
    with pytest.raises(UsageError, match="'ncl' was not measured; there are: lightgcn"):
        table.cost("ncl")
