import json
from importlib import import_module

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import normalize

from alignrec.errors import UsageError
from alignrec.losses import similarity_regularizer, similarity_regularizer_rows

module = import_module("alignrec.losses.similarity")


@pytest.fixture(autouse=True)
def same_numbers_every_time():
    torch.manual_seed(0)


def plain_regularizer(z: Tensor, f: Tensor, form: str) -> Tensor:
    """Both B x B matrices, in float64: a float32 norm of four million numbers is itself off by 2e-5."""
    z, f = z.double(), normalize(f.detach().double(), eps=1e-12)
    z = normalize(z, eps=1e-12) if form == "cosine" else z
    return torch.linalg.matrix_norm(z @ z.t() - f @ f.t()) / len(z)


def value_and_gradient(function, table: Tensor) -> tuple[Tensor, Tensor]:
    table = table.clone().requires_grad_()
    loss = function(table)
    return loss.detach(), *torch.autograd.grad(loss * 2.0, table)


def test_the_worked_value_of_two_rows():
    z, f = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [4.0, 0.0]])
    # ZZᵀ = [[1, 0], [0, 4]], cosines all 1: differences 0, -1, -1, 3
    assert similarity_regularizer(z, f).item() == pytest.approx(11**0.5 / 2)
    assert similarity_regularizer(z, f, form="cosine").item() == pytest.approx(2**0.5 / 2)


@pytest.mark.parametrize("form", ["dot", "cosine"])
@pytest.mark.parametrize("features", [5, 200, 700])  # fewer and more than rows: the two ways to compute it
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-11)])
def test_it_is_the_dense_loss_in_value_and_gradient(form, features, dtype, tolerance):
    z, f = torch.randn(500, 6, dtype=dtype) * 0.3, torch.randn(500, features, dtype=dtype) + 0.5
    ours = value_and_gradient(lambda t: similarity_regularizer(t, f, form), z)
    plain = value_and_gradient(lambda t: plain_regularizer(t, f, form).to(dtype), z)
    torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("form", ["dot", "cosine"])
@pytest.mark.parametrize("features", [20, 200])
def test_counting_distinct_rows_gives_what_the_duplicates_give(form, features):
    z, f = torch.randn(90, 6), torch.randn(90, features) + 0.5
    ids = (torch.rand(400) ** 2 * 90).long()
    ours = value_and_gradient(lambda t: similarity_regularizer_rows(t, f, ids, form), z)
    plain = value_and_gradient(lambda t: plain_regularizer(t[ids], f[ids], form).float(), z)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


def test_targets_may_be_another_table_of_which_rows_are_named():
    z, f, target_ids = torch.randn(9, 6), torch.randn(30, 20), torch.randperm(30)[:9]
    ids = torch.tensor([0, 5, 5, 7, 1])
    named = value_and_gradient(lambda t: similarity_regularizer_rows(t, f, ids, target_ids=target_ids), z)
    taken = value_and_gradient(lambda t: similarity_regularizer_rows(t, f[target_ids], ids), z)
    torch.testing.assert_close(named, taken)
    with pytest.raises(UsageError, match="not 9 and 8 rows"):
        similarity_regularizer_rows(z, f, ids, target_ids=target_ids[:8])


@pytest.mark.parametrize("features", [2, 200])
def test_targets_whose_dot_products_are_the_similarities_are_not_scaled(features):
    z, f, ids = torch.randn(90, 6), torch.randn(90, features) * 0.3, (torch.rand(400) ** 2 * 90).long()
    ours = similarity_regularizer_rows(z, f, ids, are_units=True)
    expected = torch.linalg.norm(z[ids] @ z[ids].t() - f[ids] @ f[ids].t()) / 400
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("features", [3, 20])
def test_gradients_match_finite_differences(features):
    z, f = torch.randn(8, 2, dtype=torch.float64, requires_grad=True), torch.randn(8, features, dtype=torch.float64)
    ids = torch.tensor([0, 5, 5, 7, 1])
    for form in ("dot", "cosine"):
        assert gradcheck(lambda t, form=form: similarity_regularizer(t, f, form), (z,))
        assert gradcheck(lambda t, form=form: similarity_regularizer_rows(t, f, ids, form), (z,))


def test_a_nearly_perfect_fit_does_not_drown_in_rounding():
    f = normalize(torch.randn(400, 10))
    z = f + 1e-3 * torch.randn(400, 10)
    ours = value_and_gradient(lambda t: similarity_regularizer(t, f), z)
    plain = value_and_gradient(lambda t: plain_regularizer(t, f, "dot").float(), z)
    assert plain[0] < 2e-3
    torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-6)


def test_a_perfect_fit_is_zero_with_a_zero_gradient():
    f = torch.eye(4)
    loss, gradient = value_and_gradient(lambda t: similarity_regularizer(t, f), f)
    assert loss.item() == 0.0
    assert not gradient.any()


def test_no_gradient_reaches_the_targets():
    z, f = torch.randn(5, 2, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    (similarity_regularizer(z, f) + similarity_regularizer_rows(z, f, torch.tensor([1, 1, 2]))).backward()
    assert f.grad is None
    assert z.grad.any()


def test_zero_rows_of_features_and_embeddings_cost_no_nan():
    z, f = torch.randn(6, 2), torch.randn(6, 3)
    z[0], f[1] = 0.0, 0.0
    for form in ("dot", "cosine"):
        loss, gradient = value_and_gradient(lambda t, form=form: similarity_regularizer(t, f, form), z)
        assert loss.isfinite()
        assert gradient.abs().max() < 100
        assert form == "dot" or not gradient[0].any()


def test_the_small_matrices_are_taken_exactly_where_they_are_smaller(monkeypatch):
    taken = []
    monkeypatch.setattr(module, "_by_pairs", lambda z, f: taken.append(f.shape) or _fake(z))
    similarity_regularizer(torch.randn(50, 4), torch.randn(50, 10))
    assert taken == []
    similarity_regularizer(torch.randn(50, 4), torch.randn(50, 60))
    assert len(taken) == 1


def _fake(z: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ones((), dtype=torch.float64), torch.zeros_like(z)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_the_term_equals_that_of_the_authors_code(goldens, dtype, tolerance):
    about = json.loads((goldens / "alignrec.json").read_text())["losses"]
    t = load_file(goldens / "alignrec.safetensors")
    items = t["inter/side_embeds"][len(t["repr/user"]) :].to(dtype)
    features, positives = t["param/mm_embedding.weight"].to(dtype), t["batch/pos"]
    for found in (
        similarity_regularizer(items[positives], features[positives]),
        similarity_regularizer_rows(items, features, positives),
    ):
        assert found.item() == pytest.approx(about["loss/reg_sim"], abs=tolerance)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: similarity_regularizer(torch.ones(3, 2), torch.ones(4, 2)), "compares tables"),
        (lambda: similarity_regularizer_rows(torch.ones(3, 2), torch.ones(4, 2), torch.tensor([0])), "same rows"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(call, words):
    with pytest.raises(UsageError, match=words):
        call()
