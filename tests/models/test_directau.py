import pytest
import torch
from checkerboard import checkerboard
from golden import assert_close, assert_gradients, assert_scores, load_golden, set_parameters
from torch.nn.functional import normalize

from alignrec.models import create_model
from alignrec.types import Batch

NAMES = {"embedding": ("encoder.user_embedding.weight", "encoder.item_embedding.weight")}
BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 4]), torch.tensor([1, 0, 5, 7]))


def make(**settings):
    values = {"embedding_size": 8, **settings}
    return create_model("directau", checkerboard()[0], torch.Generator().manual_seed(0), values)


@pytest.mark.parametrize(("file", "n_layers"), [("directau", 0), ("directau_lightgcn", 3)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_terms_gradients_and_scores_equal_the_authors(goldens, file, n_layers, dtype, tolerance) -> None:
    golden = load_golden(goldens, file)
    settings = {"embedding_size": 8, "n_layers": n_layers, "uniformity_weight": 0.5}
    model = create_model("directau", golden.data(goldens), torch.Generator(), settings).to(dtype)
    set_parameters(model, golden, NAMES)
    users, positives = golden.tensors["batch/users"], golden.tensors["batch/pos"]
    reps, batch = model.represent_batch(Batch(users, positives, positives))  # negatives are not read
    terms = model.losses(reps, batch)
    spread = (golden.tensors["loss/uniform_user"] + golden.tensors["loss/uniform_item"]) / 2
    assert_close(terms["align"].detach(), golden.tensors["loss/align"], tolerance, "align")
    assert_close(terms["uniform"].detach(), 0.5 * spread, tolerance, "uniform")
    total = sum(terms.values())
    assert_close(total.detach(), golden.tensors["loss/total"], tolerance, "total")
    total.backward()
    assert_gradients(model, golden, NAMES, tolerance)
    assert_scores(model.represent().final, golden, tolerance)


def test_negatives_do_not_matter() -> None:
    model = make()
    others = Batch(BATCH.users, BATCH.positives, BATCH.negatives + 9)
    for name, term in model.losses(model.represent(), BATCH).items():
        assert torch.equal(model.losses(model.represent(), others)[name], term)


def test_alignment_is_the_mean_squared_distance_of_unit_vectors() -> None:
    model = make()
    reps = model.represent()
    users, items = normalize(reps.final.users[BATCH.users]), normalize(reps.final.items[BATCH.positives])
    torch.testing.assert_close(model.losses(reps, BATCH)["align"], (users - items).square().sum(dim=1).mean())


def test_an_epoch_may_end_with_a_batch_of_one_row() -> None:
    model = make()
    one = Batch(BATCH.users[:1], BATCH.positives[:1], BATCH.negatives[:1])
    terms = model.losses(model.represent(), one)
    sum(terms.values()).backward()
    assert terms["uniform"].item() == 0
    assert bool(torch.isfinite(model.embedding.grad).all())


def test_without_its_weight_the_spread_is_left_out() -> None:
    model = make(uniformity_weight=0)
    assert set(model.losses(model.represent(), BATCH)) == {"align"}
