import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alignrec.models.projection import FeatureProjection, linear
from alignrec.training import RowAdam, row_adam
from alignrec.training.checkpoint import capture_optimizer, restore_optimizer

ALL = None


def projection(rows, width):
    draw = np.random.default_rng(0)
    features = draw.standard_normal((rows, width)).astype(np.float32)
    return FeatureProjection(features, linear(width, 3, torch.Generator().manual_seed(0)), trainable=True)


def adam(cls, part, **settings):
    given = {"lr": 0.1, **settings}
    return (
        RowAdam(part.parameters(), [part], **given) if cls is RowAdam else cls(part.parameters(), fused=True, **given)
    )


def steps(cls, reads, *, rows=300, width=5, **settings):
    """A projection after a step for each list of lists of rows that are read, `ALL` for every row; the optimiser."""
    part = projection(rows, width)
    optimizer, draw = adam(cls, part, **settings), torch.Generator().manual_seed(0)
    for step in reads:
        optimizer.zero_grad()
        found = [part(read if read is ALL else torch.tensor(read, dtype=torch.int64)) for read in step]
        torch.stack([(x * torch.randn(x.shape, generator=draw)).sum() for x in found]).sum().backward()
        optimizer.step()
    return part, optimizer


# in order, or not, and with a row twice; all rows; two reads in one step
READS = [[[3, 7, 299]], [[0]], [[3, 5, 200, 201]], [ALL], [[299, 7, 7]], [[201, 4], [4, 8], ALL], [ALL, ALL]]


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1}, {"betas": (0.5, 0.9), "eps": 1e-3}])
@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("tile", [row_adam._TILE_NUMBERS, 35])  # tiles of all rows, and of 35 or 7
def test_the_weights_are_those_of_adam_on_the_whole_table(settings, width, tile, monkeypatch):
    monkeypatch.setattr(row_adam, "_TILE_NUMBERS", tile)
    ours, theirs = (steps(cls, READS, width=width, **settings)[0] for cls in (RowAdam, torch.optim.Adam))
    for (name, mine), plain in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


# with a larger eps, since without it Adam's first step is ±lr by the sign of what may be a rounding error
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=5))
def test_whichever_rows_are_read(reads):
    ours, theirs = (
        steps(cls, [[read] for read in reads], rows=10, width=3, eps=1e-3)[0] for cls in (RowAdam, torch.optim.Adam)
    )
    torch.testing.assert_close(ours.table, theirs.table, rtol=1e-4, atol=1e-5)


def test_rows_that_are_not_read_move_on_as_adam_moves_them():
    before, after = (steps(RowAdam, reads, rows=4)[0].table for reads in ([[[0]]], [[[0]], [[1]]]))
    assert (after[0] != before[0]).all(), "momentum"
    assert torch.equal(after[3], before[3]), "never read"


def test_a_step_may_read_the_table_elsewhere_as_well():
    tables = []
    for cls in (RowAdam, torch.optim.Adam):
        part = projection(6, 3)
        optimizer = adam(cls, part)
        for rows, directly in (([1], False), ([0, 2], True), (ALL, True), ([], False), ([], True)):
            optimizer.zero_grad()
            loss = part(rows if rows is ALL else torch.tensor(rows, dtype=torch.int64)).square().sum()
            (loss + (part.table.square().sum() if directly else 0)).backward()
            optimizer.step()
        tables.append(part.table)
    torch.testing.assert_close(*tables)


def test_its_state_is_adams_so_that_a_checkpoint_goes_on():
    _, whole = steps(RowAdam, READS)
    part, half = steps(RowAdam, READS[:2])
    kept = {name: value.clone() for name, value in capture_optimizer(half).items()}
    assert {name.split("/")[1] for name in kept} == {"step", "exp_avg", "exp_avg_sq"}
    other = adam(RowAdam, part)
    restore_optimizer(other, kept, part)
    assert float(other.state[part.table]["step"]) == 2
    assert {float(state["step"]) for state in whole.state_dict()["state"].values()} == {len(READS)}


def test_no_gradient_as_large_as_the_table_is_made():
    part = projection(300, 5)
    optimizer = adam(RowAdam, part)
    optimizer.zero_grad()
    part().sum().backward()
    assert part.table.grad is None
    assert part.linear.weight.grad is not None
    optimizer.step()
    assert part.table.grad is None


def test_outside_its_steps_the_table_has_a_gradient_like_any_parameter():
    part, _ = steps(RowAdam, READS[:1])
    part(torch.tensor([2])).sum().backward()
    assert part.table.grad[2].equal(part.linear.weight.sum(dim=0))
    assert part.gradients is None


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="takes no closure"):
        steps(RowAdam, READS[:1])[1].step(lambda: None)
