import pytest
import torch
from checkerboard import checkerboard

from alignrec.errors import SettingsError
from alignrec.models import create_model
from alignrec.models.base import DistinctRows, numbered_among_all, xavier_normal_table, xavier_uniform_table
from alignrec.types import Batch, Representations


def test_split_cuts_users_from_items_and_its_gradient_is_whole() -> None:
    model = create_model("bpr", checkerboard()[0], torch.Generator(), {"embedding_size": 2})
    nodes = torch.arange(120.0).reshape(60, 2).requires_grad_()
    both = model.split(nodes)
    assert both.users.shape == both.items.shape == (30, 2)
    (both.users.sum() + 2 * both.items.sum()).backward()
    assert torch.equal(nodes.grad, torch.cat([torch.ones(30, 2), torch.full((30, 2), 2.0)]))


def test_a_batch_counted_in_its_distinct_rows_can_be_counted_in_all_again() -> None:
    batch = Batch(torch.tensor([5, 0, 5]), torch.tensor([9, 3, 3]), torch.tensor([4, 4, 9]))
    rows, final = DistinctRows.of(batch), create_model("bpr", checkerboard()[0], torch.Generator()).represent().final
    some = Representations(rows.split(torch.zeros(5, 2)), user_ids=rows.users, item_ids=rows.items)
    again = numbered_among_all(some, rows.batch)
    for name in ("users", "positives", "negatives"):
        assert torch.equal(getattr(again, name), getattr(batch, name))
    assert numbered_among_all(Representations(final), batch) is batch


@pytest.mark.parametrize("model", ["alignrec", "mgcn", "freedom", "lattice", "dream"])
def test_more_neighbours_than_items_name_the_setting_and_what_is_allowed(model: str) -> None:
    settings = {"n_neighbors": 31, **({"n_user_neighbors": 3} if model == "dream" else {})}
    with pytest.raises(SettingsError, match=r"'model\.n_neighbors' cannot be 31 with 30 items; give at most 30"):
        create_model(model, checkerboard()[0], torch.Generator(), settings)
    create_model(model, checkerboard()[0], torch.Generator(), settings | {"n_neighbors": 30})


def test_more_neighbours_than_users_name_the_setting_of_the_users() -> None:
    with pytest.raises(SettingsError, match=r"'model\.n_user_neighbors' cannot be 31 with 30 users; give at most 30"):
        create_model("dream", checkerboard()[0], torch.Generator(), {"n_user_neighbors": 31})


def test_tables_have_glorots_spread() -> None:
    rng = torch.Generator().manual_seed(0)
    uniform, normal = xavier_uniform_table(3000, 64, rng), xavier_normal_table(3000, 64, rng)
    bound = (6 / 3064) ** 0.5
    assert uniform.abs().max() <= bound
    assert abs(float(uniform.std()) / (bound / 3**0.5) - 1) < 0.01
    assert abs(float(normal.std()) / (2 / 3064) ** 0.5 - 1) < 0.01
