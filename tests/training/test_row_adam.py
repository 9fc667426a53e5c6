from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import embedding

from alignrec.training import RowAdam, row_adam
from alignrec.training.checkpoint import capture_optimizer, restore_optimizer


def steps(cls, reads, *, rows=300, width=5, **settings):
    """A table and a bias after a step for each list of rows that is read; the optimiser."""
    draw = torch.Generator().manual_seed(0)
    table = torch.nn.Parameter(torch.randn(rows, width, generator=draw))
    bias = torch.nn.Parameter(torch.zeros(width))
    optimizer = cls([table, bias], lr=0.1, fused=True, **settings)
    for read in reads:
        numbers = torch.tensor(read, dtype=torch.int64)
        found = embedding(numbers, table, sparse=cls is RowAdam)
        optimizer.zero_grad()
        ((found + bias) * torch.randn(len(read), width, generator=draw)).sum().backward()
        optimizer.step()
    return table, bias, optimizer


READS = [[3, 7, 299], [0], [3, 5, 200, 201], [299, 7, 7], [201, 4]]  # in order, or not, and with a row twice


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1}, {"betas": (0.5, 0.9), "eps": 1e-3}])
@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("tile", [row_adam._TILE_NUMBERS, 35])  # tiles of all rows, and of 35 or 7
def test_the_weights_are_those_of_adam_on_the_whole_table(settings, width, tile, monkeypatch):
    monkeypatch.setattr(row_adam, "_TILE_NUMBERS", tile)
    ours, theirs = (steps(cls, READS, width=width, **settings) for cls in (RowAdam, torch.optim.Adam))
    for mine, plain in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-6, atol=1e-7)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=5))
def test_whichever_rows_are_read(reads):
    ours, theirs = (steps(cls, reads, rows=10, width=3)[0] for cls in (RowAdam, torch.optim.Adam))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_rows_that_are_not_read_move_on_as_adam_moves_them():
    before, after = (steps(RowAdam, reads, rows=4)[0] for reads in ([[0]], [[0], [1]]))
    assert (after[0] != before[0]).all(), "momentum"
    assert torch.equal(after[3], before[3]), "never read"


def test_a_step_may_have_a_dense_gradient_between_sparse_ones():
    tables = []
    for cls in (RowAdam, torch.optim.Adam):
        table = torch.nn.Parameter(torch.arange(12.0).reshape(4, 3))
        optimizer = cls([table], lr=0.1, fused=True)
        for rows in ([1], None, [2, 3]):
            optimizer.zero_grad()
            read = table if rows is None else embedding(torch.tensor(rows), table, sparse=cls is RowAdam)
            read.square().sum().backward()
            optimizer.step()
        tables.append(table)
    torch.testing.assert_close(*tables)


def test_its_state_is_adams_so_that_a_checkpoint_goes_on():
    _, _, whole = steps(RowAdam, READS)
    table, bias, half = steps(RowAdam, READS[:2])
    kept = {name: value.clone() for name, value in capture_optimizer(half).items()}
    assert {name.split("/")[1] for name in kept} == {"step", "exp_avg", "exp_avg_sq"}
    other = RowAdam([table, bias], lr=0.1, fused=True)
    restore_optimizer(other, kept, torch.nn.ParameterList([table, bias]))
    assert float(other.state[table]["step"]) == 2
    assert float(whole.state_dict()["state"][0]["step"]) == len(READS)


def test_the_gradient_is_left_as_it_was():
    table, _, _ = steps(RowAdam, READS[:1])
    assert table.grad.is_sparse
    assert [int(a) < int(b) for a, b in pairwise(table.grad._indices()[0])] == [True, True]


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="takes no closure"):
        steps(RowAdam, READS[:1])[2].step(lambda: None)
