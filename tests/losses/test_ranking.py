import json
import math

import pytest
import torch
from safetensors.torch import load_file

from alignrec.losses import (
    bpr_loss,
    bpr_loss_rows,
    embedding_norm,
    embedding_norm_rows,
    squared_norm,
    squared_norm_rows,
)
from alignrec.types import Batch, Embeddings


def test_bpr_of_equal_scores_is_log_two():
    assert bpr_loss(torch.ones(3), torch.ones(3)).item() == pytest.approx(math.log(2))


def test_bpr_is_the_mean_of_minus_log_sigmoid():
    positive, negative = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 1.0])
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert bpr_loss(positive, negative).item() == pytest.approx(expected, rel=1e-6)


def test_bpr_stays_finite_where_the_sigmoid_underflows():
    positive = torch.tensor([-200.0], requires_grad=True)
    loss = bpr_loss(positive, torch.zeros(1))
    loss.backward()
    assert loss.item() == pytest.approx(200.0)
    assert positive.grad.item() == pytest.approx(-1.0)


def test_the_epsilon_form_is_bounded_and_its_gradient_dies_out():
    positive = torch.tensor([-200.0], requires_grad=True)
    loss = bpr_loss(positive, torch.zeros(1), epsilon=1e-10)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-10), rel=1e-5)
    assert positive.grad.item() == 0.0


def test_embedding_norm_adds_unsquared_norms_and_divides_by_the_last_tables_rows():
    assert embedding_norm(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0], [0.0]])).item() == pytest.approx(3.0)


def test_squared_norm_divides_by_the_configured_batch_size():
    assert squared_norm(torch.tensor([[3.0, 4.0]]), torch.ones(2, 1), batch_size=4).item() == pytest.approx(27 / 8)


def drawn(n_users=7, n_items=9, size=40):
    """Tables of float64 that want a gradient, and a batch in which rows occur many times and some not at all."""
    rng = torch.Generator().manual_seed(3)
    tables = [torch.randn(n, 5, generator=rng, dtype=torch.float64, requires_grad=True) for n in (n_users, n_items)]
    users, positives, negatives = (torch.randint(n - 1, (size,), generator=rng) for n in (n_users, n_items, n_items))
    return Embeddings(*tables), Batch(users, positives, negatives)


def gathered(tables, batch):
    return tables.users[batch.users], tables.items[batch.positives], tables.items[batch.negatives]


@pytest.mark.parametrize("epsilon", [0.0, 1e-10])
def test_bpr_of_rows_is_bpr_of_the_gathered_rows_with_its_gradient(epsilon):
    tables, batch = drawn()
    u, i, j = gathered(tables, batch)
    plain = bpr_loss((u * i).sum(1), (u * j).sum(1), epsilon=epsilon)
    expected = torch.autograd.grad(plain, [tables.users, tables.items])
    fast = bpr_loss_rows(tables, batch, epsilon=epsilon)
    assert fast.item() == pytest.approx(plain.item(), rel=1e-12)
    for found, wanted in zip(torch.autograd.grad(fast, [tables.users, tables.items]), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("of_gathered", "of_rows"),
    [
        (lambda *rows: embedding_norm(*rows), embedding_norm_rows),
        (
            lambda *rows: squared_norm(*rows, batch_size=64),
            lambda tables, batch: squared_norm_rows(tables, batch, batch_size=64),
        ),
    ],
    ids=["norm", "squared norm"],
)
def test_the_norm_of_rows_is_that_of_the_gathered_rows_with_its_gradient(of_gathered, of_rows):
    tables, batch = drawn()
    plain = of_gathered(*gathered(tables, batch))
    expected = torch.autograd.grad(plain, [tables.users, tables.items])
    fast = of_rows(tables, batch)
    assert fast.item() == pytest.approx(plain.item(), rel=1e-12)
    for found, wanted in zip(torch.autograd.grad(fast, [tables.users, tables.items]), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-14)


def test_the_norm_of_rows_of_zeros_has_a_gradient_of_zeros():
    tables, batch = drawn()
    zeros = Embeddings(*(torch.zeros_like(table, requires_grad=True) for table in (tables.users, tables.items)))
    loss = embedding_norm_rows(zeros, batch)
    assert loss.item() == pytest.approx(0.0, abs=1e-100)
    assert all(not gradient.any() for gradient in torch.autograd.grad(loss, [zeros.users, zeros.items]))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_ranking_terms_equal_those_of_the_authors_code(goldens, dtype, tolerance):
    about = json.loads((goldens / "lightgcn.json").read_text())["losses"]
    t = {k: v.to(dtype) if v.is_floating_point() else v for k, v in load_file(goldens / "lightgcn.safetensors").items()}
    users, positives, negatives = t["batch/users"], t["batch/pos"], t["batch/neg"]
    u, i, j = t["repr/user"][users], t["repr/item"][positives], t["repr/item"][negatives]
    found = bpr_loss((u * i).sum(1), (u * j).sum(1), epsilon=1e-10)
    assert found.item() == pytest.approx(about["loss/bpr"], abs=tolerance)
    tables = t["param/embedding_dict.user_emb"], t["param/embedding_dict.item_emb"]
    norm = embedding_norm(tables[0][users], tables[1][positives], tables[1][negatives])
    assert norm.item() == pytest.approx(about["loss/reg"], abs=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_alignrecs_ranking_terms_equal_those_of_the_authors_code(goldens, dtype, tolerance):
    about = json.loads((goldens / "alignrec.json").read_text())["losses"]
    t = load_file(goldens / "alignrec.safetensors")
    u = t["repr/user"][t["batch/users"]].to(dtype)
    i, j = (t["repr/item"][t[f"batch/{side}"]].to(dtype) for side in ("pos", "neg"))
    assert bpr_loss((u * i).sum(1), (u * j).sum(1)).item() == pytest.approx(about["loss/bpr"], abs=tolerance)
    assert squared_norm(u, i, j, batch_size=64).item() == pytest.approx(about["loss/l2"], abs=tolerance)
