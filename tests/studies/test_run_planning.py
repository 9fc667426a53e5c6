import pytest
import torch
from datasets import small_dataset

from alignrec.errors import AlignrecError
from alignrec.studies.run_planning import plan_run


def plan(data, model="lightgcn", features=(), plugins=(), settings=None):
    return plan_run(data, model, features, plugins, settings or {}, 0, torch.device("cpu"), 1)


def test_every_default_is_filled_in_and_a_model_s_own_defaults_come_first(tmp_path):
    data = small_dataset(tmp_path / "small")
    found = plan(data, "AlignRec", ["content"], ["UIA"], {"training": {"lr": 0.5}})
    assert (found.model, list(found.plugins)) == ("alignrec", ["uia"])
    assert found.settings["training"]["lr"] == 0.5
    assert found.settings["training"]["patience"] == 30
    assert found.features == {"content": data.features("content").content_hash}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"model": "lightgnc"}, "did you mean 'lightgcn'"),
        ({"features": ["contents"]}, "contents"),
        ({"settings": {"model": {"layers": 1}}}, "unknown setting 'model.layers'"),
        ({"settings": {"plugin.uia": {}}}, "which is not attached; add --plugin uia"),
    ],
)
def test_nothing_unknown_gets_into_a_plan(tmp_path, asked, message):
    with pytest.raises(AlignrecError, match=message):
        plan(small_dataset(tmp_path / "small"), **asked)
