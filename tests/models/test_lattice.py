import pytest
import torch
from checkerboard import checkerboard, with_modalities
from golden import assert_close, load_golden
from torch.nn.functional import normalize

from alignrec.models import create_model
from alignrec.types import Batch, TrainData

BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 6]), torch.tensor([1, 0, 5, 7]))
LEARNED = "projections.of.0.linear.weight"


def make(data: TrainData | None = None, **settings):
    values = {"embedding_size": 8, "n_neighbors": 4, **settings}
    return create_model("lattice", data or checkerboard()[0], torch.Generator().manual_seed(0), values)


def step(model) -> None:
    model.zero_grad()
    sum(model.losses(*model.represent_batch(BATCH)).values()).backward()


def dense_graph(model, lam: float, k: int) -> torch.Tensor:
    """Ã the way the formula is written, from whole matrices of cosines."""

    def nearest(table: torch.Tensor) -> torch.Tensor:
        cosines = normalize(table) @ normalize(table).t()
        values, indices = cosines.topk(k, dim=1)
        return torch.zeros_like(cosines).scatter(1, indices, values)

    def scaled(matrix: torch.Tensor) -> torch.Tensor:
        root = matrix.sum(1).pow(-0.5)
        return root[:, None] * matrix * root

    logits = model.modality_logits
    shares = [1.0] if logits is None else list(torch.softmax(logits, 0))
    learned = scaled(sum(w * nearest(x) for w, x in zip(shares, model.projections().values(), strict=True)))
    initial = sum(w * scaled(nearest(p.table.detach())) for w, p in zip(shares, model.projections.of, strict=True))
    return (1 - lam) * learned + lam * initial


@pytest.mark.parametrize("sizes", [(5,), (4, 3), (6, 3, 2)])
def test_the_sparse_graph_and_its_gradients_equal_the_dense_formula(sizes) -> None:
    model = make(with_modalities(*sizes), initial_share=0.6).double()
    items = model.embedding[model.n_users :]
    weights = torch.randn(30, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found, expected = model._related(items), normalize(dense_graph(model, 0.6, 4) @ items)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    trained = dict(model.named_parameters())
    ours, plain = (torch.autograd.grad((x * weights).sum(), list(trained.values())) for x in (found, expected))
    for name, a, b in zip(trained, ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=name)


def test_the_mixed_graph_equals_the_authors(goldens) -> None:
    golden = load_golden(goldens, "lattice")
    model = make(golden.data(goldens, "image", "text"), n_neighbors=5, initial_share=0.7).double()
    with torch.no_grad():
        for part, name in zip(model.projections.of, ("image", "text"), strict=True):
            part.linear.weight.copy_(golden.tensors[f"param/{name}_trs.weight"])
            part.linear.bias.copy_(golden.tensors[f"param/{name}_trs.bias"])
        model.modality_logits.copy_(golden.tensors["param/modal_weight"])
        graph = model._built()
    dense = torch.zeros(40, 40, dtype=torch.float64).scatter_add_(1, graph.indices, graph.weights)
    assert_close(dense, golden.tensors["inter/item_adj"], 1e-6, "item graph")
    for operator, name in zip(model.initial, ("image", "text"), strict=True):
        expected = golden.tensors[f"buffer/{name}_original_adj"]
        assert_close(operator(torch.eye(40, dtype=torch.float64)), expected, 1e-6, f"initial {name} graph")


def test_only_the_first_batch_of_an_epoch_trains_the_graph() -> None:
    model = make()
    step(model)
    assert model.get_parameter(LEARNED).grad.abs().sum() > 0
    step(model)
    assert model.get_parameter(LEARNED).grad is None
    assert model.embedding.grad is not None
    model.start_epoch(torch.Generator())
    step(model)
    assert model.get_parameter(LEARNED).grad is not None


def test_a_later_batch_has_the_same_loss_and_id_gradient_as_the_first() -> None:
    model = make().double()
    step(model)
    first = model.embedding.grad.clone()
    step(model)
    torch.testing.assert_close(model.embedding.grad, first, rtol=1e-5, atol=1e-8)


def test_evaluation_uses_the_present_weights_and_leaves_the_epochs_graph_alone() -> None:
    model = make()
    step(model)
    graph = model.learned
    with torch.no_grad():
        model.get_parameter(LEARNED).mul_(-1.0).add_(0.3)
        before = model.represent().final.items
        after = model.eval().represent().final.items
    assert model.learned is graph
    assert not torch.allclose(before, after)


def test_the_content_view_of_the_first_batch_still_trains_the_graph() -> None:
    model = make()
    reps, _ = model.represent_batch(BATCH)
    reps.views["content"].users.sum().backward()
    assert model.get_parameter(LEARNED).grad.abs().sum() > 0


def test_one_table_has_no_weight_to_learn() -> None:
    assert make().modality_logits is None
    assert make(with_modalities(4, 3, 2)).modality_logits.shape == (3,)
