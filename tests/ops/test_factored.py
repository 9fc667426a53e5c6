import pytest
import torch

from alignrec.ops import project_table


def made(n=6, wide=5, narrow=2):
    draw = torch.Generator().manual_seed(0)
    table = torch.randn(n, wide, generator=draw, dtype=torch.float64, requires_grad=True)
    return table, torch.randn(narrow, wide, generator=draw, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("rows", [None, [0, 3, 5], [4, 1, 4], []])
def test_the_factors_multiply_to_the_gradient_of_the_table(rows):
    rows = None if rows is None else torch.tensor(rows, dtype=torch.int64)
    (table, weight), gradients = made(), []
    product = project_table(table, weight, rows, gradients)
    read = table if rows is None else table[rows]
    torch.testing.assert_close(product, read @ weight.t())
    factors = torch.randn(product.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (product * factors).sum().backward()
    assert table.grad is None
    expected = torch.autograd.grad((read @ weight.t() * factors).sum(), (table, weight))
    torch.testing.assert_close((gradients[0].dense(table), weight.grad), expected)


def test_every_backward_pass_appends_one():
    (table, weight), gradients = made(), []
    for rows in (None, torch.tensor([2])):
        project_table(table, weight, rows, gradients).sum().backward()
    assert [gradient.rows for gradient in gradients] == [None, torch.tensor([2])]
    assert torch.equal(gradients[1].dense(table)[2], weight.sum(dim=0))


def test_a_table_and_a_weight_that_are_not_trained_get_nothing():
    table, weight = made()
    gradients = []
    project_table(table.detach(), weight, None, gradients).sum().backward()
    assert gradients == []
    torch.testing.assert_close(weight.grad, table.sum(dim=0).expand(2, 5))
    project_table(table, weight.detach(), None, gradients).sum().backward()
    torch.testing.assert_close(gradients[0].dense(table), weight.sum(dim=0).expand(6, 5))
