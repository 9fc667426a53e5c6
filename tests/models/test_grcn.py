import pytest
import torch
from checkerboard import checkerboard, with_modalities
from golden import assert_close, linears, load_golden
from torch.nn.functional import leaky_relu, normalize

from alignrec.models import create_model
from alignrec.types import Batch, TrainData

BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 6]), torch.tensor([1, 0, 5, 7]))


def make(data: TrainData | None = None, **settings):
    values = {"embedding_size": 8, **settings}
    return create_model("grcn", data or checkerboard()[0], torch.Generator().manual_seed(0), values)


def dense_forward(model, data: TrainData, n_routings: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The formulas with users by items matrices, routing from items to users."""
    taken = torch.from_numpy(data.interactions.toarray()).bool()
    confidence = model.confidence.split([30, 30])
    contents, to_users, to_items = [], [], []
    tables = zip(model.preferences, model.projections.of, strict=True)
    for m, (preference, projection) in enumerate(tables):
        p, f = normalize(preference), normalize(leaky_relu(projection.linear(projection.table)))

        def shares(p, f, dim):
            return torch.softmax((p @ f.t()).masked_fill(~taken, -torch.inf), dim)

        for _ in range(n_routings):
            p = normalize(p + shares(p, f, 1) @ f)
        by_user, by_item = shares(p, f, 1), shares(p, f, 0)
        contents.append((p + by_user @ f, f + by_item.t() @ p))
        to_users.append(by_user * confidence[1][:, m])  # what an item sends is as sure as the item is
        to_items.append(by_item * confidence[0][:, m, None])
    up, down = (torch.stack(parts).amax(0).clamp(min=0) * taken for parts in (to_users, to_items))
    users, items = normalize(model.embedding).split([30, 30])
    users_1, items_1 = up @ items, down.t() @ users
    users_2, items_2 = up @ items_1, down.t() @ users_1
    return (
        torch.cat([users + users_1 + users_2, *(c[0] for c in contents)], 1),
        torch.cat([items + items_1 + items_2, *(c[1] for c in contents)], 1),
    )


@pytest.mark.parametrize("sizes", [(5,), (6, 3, 2)])
def test_routing_from_items_to_users_and_its_gradients_equal_the_dense_formula(sizes) -> None:
    data = with_modalities(*sizes)
    model = make(data, n_routings=2).double()
    final, dense = model.represent().final, dense_forward(model, data, 2)
    trained = dict(model.named_parameters())
    gradients = []
    for tables in ((final.users, final.items), dense):
        weighted = [(t * torch.linspace(-1, 1, t.numel(), dtype=t.dtype).view_as(t)).sum() for t in tables]
        gradients.append(torch.autograd.grad(sum(weighted), list(trained.values())))
    torch.testing.assert_close((final.users, final.items), dense, rtol=1e-7, atol=1e-9)
    for name, ours, plain in zip(trained, *gradients, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-8, msg=name)


def test_official_routing_changes_nothing_whatever_its_number() -> None:
    without = make(n_routings=0).represent().final
    assert torch.equal(make(official=True, n_routings=3).represent().final.users, without.users)
    assert not torch.allclose(make(n_routings=1).represent().final.users, without.users)


def test_official_regularises_the_first_preferences_once_more_over_the_whole_table() -> None:
    data = with_modalities(4, 3)
    models = [make(data, reg_weight=1.0, official=official) for official in (False, True)]
    ours, official = (model.losses(model.represent(), BATCH)["mean_square"] for model in models)
    torch.testing.assert_close(official - ours, models[0].preferences[0].square().mean())


def test_attention_and_edge_weights_equal_the_authors(goldens) -> None:
    golden = load_golden(goldens, "grcn")
    model = make(golden.data(goldens, "image", "text"), official=True).double()
    theirs = {"confidence": ("model_specific_conf",)}
    theirs |= {"preferences.0": ("v_gcn.preference",), "preferences.1": ("t_gcn.preference",)}
    theirs |= linears(projections__of__0__linear="v_gcn.MLP", projections__of__1__linear="t_gcn.MLP")
    with torch.no_grad():
        for ours, (name,) in theirs.items():
            model.get_parameter(ours).copy_(golden.tensors[f"param/{name}"])
        tables = zip(model.preferences, model.projections().values(), strict=True)
        shares = [model._content(*pair)[1] for pair in tables]
        weights = model._weights([to_users for to_users, _ in shares], [to_items for _, to_items in shares])
    edges = model.edges.rows * 40 + model.edges.columns
    users, items = golden.tensors["buffer/edge_index"]
    order = torch.searchsorted(edges, users * 40 + items - 60)  # their edges among ours
    assert torch.equal(edges[order], users * 40 + items - 60)
    # theirs: first the edges on their way to items, then those to users
    alpha = torch.stack([torch.cat([to_items[order], to_users[order]]) for to_users, to_items in shares], dim=1)
    assert_close(alpha, golden.tensors["inter/edge_alpha"], 1e-6, "attention")
    found = torch.cat([weights[1][order], weights[0][order]])
    assert_close(found, golden.tensors["inter/edge_weight"], 1e-6, "edge weights")


def test_an_edge_of_no_confidence_carries_no_id_but_still_content() -> None:
    model = make().double()
    with torch.no_grad():
        model.confidence.fill_(-1.0)
    reps = model.represent()
    ids = normalize(model.embedding).split([30, 30])
    torch.testing.assert_close((reps.views["behaviour"].users, reps.views["behaviour"].items), ids)
    assert not torch.allclose(reps.views["content"].users, normalize(model.preferences[0]))


def test_the_content_view_is_the_mean_of_the_content_parts() -> None:
    reps = make(with_modalities(4, 3)).represent()
    behaviour, first, second = reps.final.items.chunk(3, dim=1)
    assert torch.equal(reps.views["behaviour"].items, behaviour)
    torch.testing.assert_close(reps.views["content"].items, (first + second) / 2)
