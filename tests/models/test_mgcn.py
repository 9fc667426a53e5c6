import pytest
import torch
from checkerboard import checkerboard, with_modalities
from golden import assert_close, load_golden

from alignrec.models import create_model
from alignrec.types import Batch, TrainData

BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 6]), torch.tensor([1, 0, 5, 7]))


def make(data: TrainData | None = None, **settings):
    values = {"embedding_size": 8, "n_neighbors": 4, **settings}
    return create_model("mgcn", data or checkerboard()[0], torch.Generator().manual_seed(0), values)


def test_the_graphs_equal_the_authors(goldens) -> None:
    golden = load_golden(goldens, "mgcn")
    model = make(golden.data(goldens, "image", "text"), n_neighbors=5).double()
    for graph, name in zip(model.neighbors, ("image", "text"), strict=True):
        expected = golden.tensors[f"buffer/{name}_original_adj"]
        assert_close(graph(torch.eye(40, dtype=torch.float64)), expected, 1e-6, name)
    eye = torch.eye(100, dtype=torch.float64)
    assert_close(model.adjacency(eye), golden.tensors["buffer/norm_adj"], 1e-6, "interactions")
    assert_close(model.interactions(eye[:40, :40]), golden.tensors["buffer/R"], 1e-6, "user-item block")


@pytest.mark.parametrize("sizes", [(5,), (4, 3), (6, 3, 2)])
def test_any_number_of_modalities_is_fused(sizes) -> None:
    model = make(with_modalities(*sizes)).double()
    reps = model.represent()
    behaviour = torch.cat([reps.views["behaviour"].users, reps.views["behaviour"].items])
    _, purified = model._purified(model.embedding[model.n_users :])
    nodes = [torch.cat([model.interactions(items), items]) for items in purified]
    if len(sizes) == 1:
        expected = nodes[0] / 2
    else:
        logits = torch.stack([model.query(torch.tanh(model.attention(x)))[:, 0] for x in nodes])
        common = (torch.softmax(logits, dim=0)[:, :, None] * torch.stack(nodes)).sum(0)
        own = [torch.sigmoid(p(behaviour)) * (x - common) for p, x in zip(model.preferences, nodes, strict=True)]
        expected = (sum(own) + common) / (len(sizes) + 1)
    side = reps.views["content"]
    torch.testing.assert_close(torch.cat([side.users, side.items]), expected)
    torch.testing.assert_close(reps.final.items, side.items + reps.views["behaviour"].items)


@pytest.mark.parametrize("sizes", [(5,), (6, 3, 2)])
def test_a_batch_alone_gives_the_gradients_of_everything_for_any_number(sizes) -> None:
    whole, part = (make(with_modalities(*sizes)).double() for _ in range(2))
    sum(whole.losses(whole.represent(), BATCH).values()).backward()
    sum(part.losses(*part.represent_batch(BATCH)).values()).backward()
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(part.get_parameter(name).grad, parameter.grad, rtol=1e-6, atol=1e-9, msg=name)


def test_content_of_a_batch_is_that_of_its_items() -> None:
    model = make(with_modalities(4, 3))
    reps, _ = model.represent_batch(BATCH)
    every = model.represent().content
    for name, table in reps.content.items():
        torch.testing.assert_close(table, every[name][reps.item_ids])


def test_without_its_weight_the_contrast_is_left_out() -> None:
    model = make(contrastive_weight=0)
    assert set(model.losses(model.represent(), BATCH)) == {"bpr", "l2"}
