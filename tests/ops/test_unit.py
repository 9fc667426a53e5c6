import torch
from torch.autograd import gradcheck
from torch.nn.functional import normalize

from alignrec.ops import unit_rows, without_zero_rows


def table_with_zeros() -> torch.Tensor:
    table = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table[2] = 0
    return table.requires_grad_()


def test_rows_have_length_one_in_the_bytes_of_torchs_own() -> None:
    table = torch.randn(50, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    ours, theirs = unit_rows(table), normalize(table)
    assert torch.equal(ours, theirs)
    toward = torch.arange(400.0).view(50, 8)
    gradients = [torch.autograd.grad(unit, table, toward)[0] for unit in (ours, theirs)]
    assert torch.equal(*gradients)


def test_a_row_of_zeros_stays_zero_and_gets_no_gradient() -> None:
    table = table_with_zeros()
    unit = unit_rows(table)
    assert not unit[2].any()
    (gradient,) = torch.autograd.grad(unit.sum(), table)
    assert not gradient[2].any()
    assert gradient[[0, 1, 3, 4, 5]].abs().sum(dim=1).min() > 0


def test_the_gradient_matches_finite_differences() -> None:
    assert gradcheck(unit_rows, table_with_zeros()[[0, 1, 3]].detach().requires_grad_())


def test_a_table_is_passed_on_but_for_the_gradient_of_rows_of_zeros() -> None:
    table = table_with_zeros()
    passed = without_zero_rows(table)
    assert torch.equal(passed, table)
    (gradient,) = torch.autograd.grad(passed.sum(), table)
    assert gradient.sum(dim=1).tolist() == [4, 4, 0, 4, 4, 4]
