import pytest
import torch
from checkerboard import checkerboard

from alignrec.models import create_model
from alignrec.training import Objective
from alignrec.types import Batch


class MeanOfUsers(torch.nn.Module):
    """A plug-in with one parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, reps, batch):
        return self.scale * reps.final.users[batch.users].mean()


@pytest.fixture
def backbone():
    return create_model("bpr", checkerboard()[0], torch.Generator().manual_seed(0), {"embedding_size": 4})


BATCH = Batch(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([1, 0]))


def test_a_plugin_adds_one_named_weighted_term_and_leaves_the_others(backbone) -> None:
    alone, plugged = Objective(backbone), Objective(backbone, {"mean": MeanOfUsers()}, {"mean": 0.25})
    terms = plugged(BATCH)
    assert set(terms) == {"bpr", "norm", "mean"}
    assert torch.equal(terms["bpr"], alone(BATCH)["bpr"])
    expected = 0.25 * backbone.user_embedding[BATCH.users].mean()
    assert torch.allclose(terms["mean"], expected)


def test_a_plugins_parameters_train_but_are_not_the_backbones(backbone) -> None:
    objective = Objective(backbone, {"mean": MeanOfUsers()})
    sum(objective(BATCH).values()).backward()
    assert objective.plugins["mean"].scale.grad is not None
    assert "plugins.mean.scale" in objective.state_dict()
    assert not any("scale" in name for name in objective.backbone.state_dict())
