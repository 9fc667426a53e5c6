import numpy as np
import pytest
import torch
from checkerboard import checkerboard, with_modalities

from alignrec.models import create_model
from alignrec.types import TrainData


def make(data: TrainData | None = None, **settings):
    data = data or checkerboard()[0]
    return create_model("vbpr", data, torch.Generator().manual_seed(0), {"embedding_size": 4, **settings})


def test_a_score_is_taste_for_the_id_plus_taste_for_the_content_by_hand() -> None:
    data, _ = checkerboard()
    features = np.zeros((data.n_items, 2), dtype=np.float32)
    features[3] = [2.0, 1.0]
    model = make(TrainData(data.interactions, {"content": features}), embedding_size=1)
    with torch.no_grad():
        model.user_embedding.copy_(torch.tensor([[5.0, 10.0]]).expand(data.n_users, 2))  # id, content
        model.item_embedding.fill_(3.0)
        model.content.linear.weight.copy_(torch.tensor([[1.0, -4.0]]))
        model.content.linear.bias.fill_(0.5)
    final = model.represent().final
    assert float((final.users[0] @ final.items[3]).detach()) == 5 * 3 + 10 * (2 - 4 + 0.5)


@pytest.mark.parametrize("sizes", [(5,), (6, 3, 2)])
def test_all_features_lie_side_by_side_whatever_their_number(sizes) -> None:
    model = make(with_modalities(*sizes))
    assert model.content.table.shape == (30, sum(sizes))
    assert model.represent().final.items.shape == (30, 8)


def test_the_views_are_the_two_halves_of_what_is_scored() -> None:
    reps = make().represent()
    for side in ("users", "items"):
        halves = [getattr(reps.views[name], side) for name in ("behaviour", "content")]
        assert torch.equal(torch.cat(halves, dim=1), getattr(reps.final, side))


def test_an_item_without_features_starts_without_a_content_half() -> None:
    data, _ = checkerboard()
    features = np.ones((data.n_items, 2), dtype=np.float32)
    features[3] = 0
    content = make(TrainData(data.interactions, {"content": features})).represent().views["content"].items
    assert not content[3].any()
    assert content[2].any()


def test_features_are_fixed_unless_asked_for() -> None:
    assert "content.table" not in dict(make().named_parameters())
    assert "content.table" in dict(make(trainable_features=True).named_parameters())
