import pytest
import torch
from checkerboard import checkerboard, with_modalities
from torch.nn.functional import cross_entropy, normalize

from alignrec.errors import SettingsError
from alignrec.models import create_model, model_class
from alignrec.types import Batch, TrainData

# Positives 4 and users 2 twice: copies compete with each other
BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([4, 3, 4, 6]), torch.tensor([1, 0, 5, 7]))


def make(data: TrainData | None = None, **settings):
    values = {"embedding_size": 8, **settings}
    return create_model("slmrec", data or checkerboard()[0], torch.Generator().manual_seed(0), values)


def layer_mean(data: TrainData, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """LightGCN's mean over 3 layers with a dense matrix."""
    taken = torch.from_numpy(data.interactions.toarray()).double()
    block = taken / (taken.sum(1)[:, None] * taken.sum(0)).sqrt()
    adjacency = torch.zeros(60, 60, dtype=torch.float64)
    adjacency[:30, 30:], adjacency[30:, :30] = block, block.t()
    x = torch.cat([users, items])
    return sum(torch.linalg.matrix_power(adjacency, n) @ x for n in range(4)) / 4


def dense_terms(model, data: TrainData) -> dict[str, torch.Tensor]:
    """The formulas one modality after the other, with all pairs of the batch."""
    units = [normalize(torch.from_numpy(table).double()) for table in data.features.values()]
    items = [part.linear(unit) for part, unit in zip(model.projections.of, units, strict=True)]
    z = [layer_mean(data, model.user_embedding, table) for table in (model.item_embedding, *items)]
    users = model.fuse_users(torch.cat(z, 1)[:30])[BATCH.users]
    positives = model.fuse_items(torch.cat(z, 1)[30:])[BATCH.positives]
    right = torch.arange(4)
    main = cross_entropy(normalize(users) @ normalize(positives).t() / 0.2, right)
    anchor, ssl = z[0][30:][BATCH.positives], 0.0
    for step, target, other in zip(model.anchors, model.targets, z[1:], strict=True):
        anchor = step(anchor)
        ssl = ssl + cross_entropy(anchor @ target(other[30:][BATCH.positives]).t() / 0.5, right)
    return {"info_nce": main, "ssl": 0.3 * ssl}


@pytest.mark.parametrize("sizes", [(5,), (4, 3), (6, 3, 2)])
def test_any_number_of_modalities_equals_the_dense_formula(sizes) -> None:
    data = with_modalities(*sizes)
    model = make(data, ssl_weight=0.3, ssl_temperature=0.5).double()
    found, expected = model.losses(*model.represent_batch(BATCH)), dense_terms(model, data)
    for name, term in expected.items():
        torch.testing.assert_close(found[name], term, rtol=1e-6, atol=1e-8)
    trained = dict(model.named_parameters())
    ours, plain = (torch.autograd.grad(sum(terms.values()), list(trained.values())) for terms in (found, expected))
    for name, a, b in zip(trained, ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7, msg=name)


def test_the_last_of_several_modalities_is_met_at_half_the_width() -> None:
    widths = {
        sizes: [target.out_features for target in make(with_modalities(*sizes)).targets]
        for sizes in [(5,), (4, 3), (6, 3, 2)]
    }
    assert widths == {(5,): [8], (4, 3): [8, 4], (6, 3, 2): [8, 8, 4]}


def test_negatives_do_not_matter() -> None:
    model = make()
    others = Batch(BATCH.users, BATCH.positives, BATCH.negatives + 9)
    for name, term in model.losses(model.represent(), BATCH).items():
        assert torch.equal(model.losses(model.represent(), others)[name], term)


def test_without_its_weight_the_contrast_among_modalities_is_left_out() -> None:
    model = make(ssl_weight=0)
    assert set(model.losses(model.represent(), BATCH)) == {"info_nce"}


def test_the_length_of_features_does_not_matter() -> None:
    data, _ = checkerboard()
    longer = TrainData(data.interactions, {"content": data.features["content"] * 100})
    torch.testing.assert_close(make(data).represent().final.items, make(longer).represent().final.items)


def test_the_content_view_is_the_mean_over_the_modalities_graphs() -> None:
    data = with_modalities(4, 3)
    model = make(data).double()
    reps = model.represent()
    graphs = [layer_mean(data, model.user_embedding, table)[:30] for table in reps.content.values()]
    torch.testing.assert_close(reps.views["content"].users, (graphs[0] + graphs[1]) / 2, rtol=1e-6, atol=1e-8)


def test_training_decays_weights_by_default() -> None:
    assert model_class("slmrec").training_defaults == {"weight_decay": 1e-4}


def test_a_vector_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"'model\.embedding_size' cannot be 1"):
        make(embedding_size=1)
