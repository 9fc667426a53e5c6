import numpy as np
import pytest
import torch
from checkerboard import checkerboard, with_modalities
from golden import assert_close, load_golden
from scipy import sparse
from torch.nn.functional import leaky_relu, normalize

from alignrec.models import create_model
from alignrec.models.dualgnn import _attention
from alignrec.types import Batch, TrainData

BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 6]), torch.tensor([1, 0, 5, 7]))


def make(data: TrainData | None = None, **settings):
    values = {"embedding_size": 8, "hidden_size": 6, "n_user_neighbors": 4, **settings}
    return create_model("dualgnn", data or checkerboard()[0], torch.Generator().manual_seed(0), values)


def dense_forward(model, data: TrainData) -> tuple[torch.Tensor, torch.Tensor]:
    """The formulas with dense matrices, one modality and one user after the other."""
    taken = torch.from_numpy(data.interactions.toarray()).double()
    block = taken / (taken.sum(1)[:, None] * taken.sum(0)).sqrt()
    adjacency = torch.zeros(60, 60, dtype=torch.float64)
    adjacency[:30, 30:], adjacency[30:, :30] = block, block.t()
    parts = []
    for preference, projection, out in zip(model.preferences, model.projections.of, model.outputs, strict=True):
        items = out(leaky_relu(projection.linear(projection.table)))
        x = normalize(torch.cat([preference, items]))
        parts.append(x + adjacency @ x + adjacency @ adjacency @ x)
    weights = model.user_weights
    users = parts[0][:30] if weights is None else sum(weights[:, m, None] * p[:30] for m, p in enumerate(parts))
    common = (taken @ taken.t()).fill_diagonal_(0)
    mixed = users.clone()
    for user, counts in enumerate(common):
        nearest = counts.argsort(descending=True, stable=True)[:4]
        nearest = nearest[counts[nearest] > 0]
        mixed[user] = users[user] + torch.softmax(counts[nearest], 0) @ users[nearest]
    return mixed, sum(part[30:] for part in parts)


@pytest.mark.parametrize("sizes", [(5,), (6, 3, 2)])
def test_any_number_of_modalities_equals_the_dense_formula(sizes) -> None:
    data = with_modalities(*sizes)
    model = make(data).double()
    final = model.represent().final
    torch.testing.assert_close((final.users, final.items), dense_forward(model, data), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("sizes", [(5,), (6, 3, 2)])
def test_a_batch_alone_gives_the_gradients_of_everything_for_any_number(sizes) -> None:
    whole, part = (make(with_modalities(*sizes), official=True).double() for _ in range(2))
    for model in (whole, part):
        model.start_epoch(torch.Generator().manual_seed(1))
    sum(whole.losses(whole.represent(), BATCH).values()).backward()
    sum(part.losses(*part.represent_batch(BATCH)).values()).backward()
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(part.get_parameter(name).grad, parameter.grad, rtol=1e-6, atol=1e-9, msg=name)


def test_the_two_views_add_up_to_what_is_scored() -> None:
    model = make(with_modalities(4, 3)).double()
    for reps in (model.represent(), model.represent_batch(BATCH)[0]):
        views = reps.views["behaviour"], reps.views["content"]
        torch.testing.assert_close(views[0].users + views[1].users, reps.final.users)
        torch.testing.assert_close(views[0].items + views[1].items, reps.final.items)


def test_without_its_own_preference_a_users_behaviour_is_that_of_others() -> None:
    model = make(n_layers=0)
    with torch.no_grad():
        model.preferences[0].zero_()
    reps = model.represent()
    assert not reps.views["behaviour"].users.any()
    torch.testing.assert_close(reps.views["content"].items, reps.final.items)


def test_official_adds_modalities_in_place() -> None:
    """r = w_1 (z_1 + z_2) + w_2 z_2 is ours with w_2 + w_1 in place of w_2."""
    data = with_modalities(4, 3)
    ours, official = make(data).double(), make(data, official=True).double()
    with torch.no_grad():
        for name, value in ours.state_dict().items():
            official.state_dict()[name].copy_(value)
        ours.user_weights[:, 1] += ours.user_weights[:, 0]
    torch.testing.assert_close(official.represent().final.users, ours.represent().final.users)


def test_official_takes_log2_and_regularises_weights_of_items() -> None:
    ours, official = (make(reg_weight=1.0, official=official) for official in (False, True))
    reps = ours.represent()
    plain, theirs = (model.losses(reps, BATCH) for model in (ours, official))
    torch.testing.assert_close(theirs["bpr"] * np.log(2), plain["bpr"])
    squares = official.item_weights.square().mean()
    torch.testing.assert_close(theirs["mean_square"], plain["mean_square"] + squares)


def few_neighbors() -> TrainData:
    """User 0 shares two items with user 1 and one with user 2; user 3 shares nothing."""
    taken = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float32)
    return TrainData(sparse.csr_array(taken), {"content": np.eye(4, dtype=np.float32)})


def test_a_short_list_is_not_filled_up_unless_official_and_only_in_training() -> None:
    model = make(few_neighbors(), official=True)
    e = np.e
    own = torch.tensor([[0, e / (1 + e), 1 / (1 + e), 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).float()
    torch.testing.assert_close(model.neighbors(torch.eye(4)), own)
    seen = set()
    for seed in range(20):
        model.start_epoch(torch.Generator().manual_seed(seed))
        padded = model.padded(torch.eye(4))
        torch.testing.assert_close(padded[1:], own[1:])  # one neighbour repeated, or none at all
        odds = float(padded[0, 1] / padded[0, 2]) / e  # of four places, user 1 has 1, 2 or 3
        seen.add(round(odds, 3))
    assert seen == {round(1 / 3, 3), 1.0, 3.0}
    training = model.represent().final.users
    evaluated = model.eval().represent().final.users
    model.padded = None
    assert torch.equal(model.train().represent().final.users, evaluated)
    assert not torch.allclose(training, evaluated)


def test_the_repeats_of_an_epoch_are_those_of_its_generator() -> None:
    model = make(few_neighbors(), official=True, n_user_neighbors=40)
    drawn = []
    for seed in (1, 1, 2):
        model.start_epoch(torch.Generator().manual_seed(seed))
        drawn.append(model.padded(torch.eye(4)))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    ours = make(few_neighbors())
    ours.start_epoch(torch.Generator())
    assert ours.padded is None


def test_weights_of_repeated_neighbours_equal_the_authors(goldens) -> None:
    golden = load_golden(goldens, "dualgnn")
    model = make(golden.data(goldens, "image", "text"), n_user_neighbors=40)
    users, weights = (golden.tensors[f"buffer/{name}"] for name in ("epoch_user_graph", "user_weight_matrix"))
    theirs = torch.zeros(60, 60, dtype=torch.float64).scatter_add_(1, users, weights)
    times = torch.zeros(60, 60).scatter_add_(1, users, torch.ones(60, 40)).numpy()
    common = model.common.tocoo()
    short = np.diff(model.common.indptr) < 40  # with more, they choose among equal counts in another order
    assert 10 < short.sum() < 60
    repeats = np.maximum(times[common.coords], 1).astype(np.int64)
    found = _attention(model.common, repeats)(torch.eye(60, dtype=torch.float64))
    assert_close(found[short], theirs[short], 1e-6, "weights of neighbours")
    longest = [
        np.sort(golden.tensors["buffer/user_cooccurrence"].numpy()[user])[-40:] for user in np.flatnonzero(~short)
    ]
    for user, counts in zip(np.flatnonzero(~short), longest, strict=True):
        assert np.array_equal(np.sort(model.common[[user]].data), counts)


def test_one_table_has_no_weight_to_learn() -> None:
    assert make().user_weights is None
    weights = make(with_modalities(4, 3, 2)).user_weights
    torch.testing.assert_close(weights.sum(1), torch.ones(30))
