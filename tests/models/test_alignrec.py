import numpy as np
import pytest
import torch
from checkerboard import checkerboard
from torch.nn.functional import normalize

from alignrec.errors import SettingsError
from alignrec.models import create_model
from alignrec.models.alignrec import unified_features
from alignrec.types import Batch, TrainData

BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 6]), torch.tensor([1, 0, 5, 7]))


def make(data: TrainData | None = None, **settings):
    data = data or checkerboard()[0]
    values = {"embedding_size": 8, "n_neighbors": 4, **settings}
    return create_model("alignrec", data, torch.Generator().manual_seed(0), values)


def test_what_is_scored_is_the_sum_of_the_two_views() -> None:
    reps = make().represent()
    behaviour, content = reps.views["behaviour"], reps.views["content"]
    torch.testing.assert_close(reps.final.users, behaviour.users + content.users)
    torch.testing.assert_close(reps.final.items, behaviour.items + content.items)


@pytest.mark.parametrize(("weight", "term"), [("cca_weight", "cca"), ("uia_weight", "uia"), ("reg_weight", "reg")])
def test_a_weight_of_zero_leaves_its_term_out_and_the_others_alone(weight: str, term: str) -> None:
    full, ablated = make(), make(**{weight: 0})
    all_terms, fewer = (m.losses(m.represent(), BATCH) for m in (full, ablated))
    assert set(all_terms) - set(fewer) == {term}
    for name, value in fewer.items():
        assert torch.equal(value, all_terms[name])


def test_the_papers_regulariser_compares_cosines_with_cosines() -> None:
    model = make(reg_form="cosine", reg_weight=1.0)
    reps = model.represent()
    z = normalize(reps.views["content"].items[BATCH.positives])
    f = normalize(model.initial_features[BATCH.positives])
    expected = torch.linalg.matrix_norm(z @ z.t() - f @ f.t()) / len(BATCH)
    torch.testing.assert_close(model.losses(reps, BATCH)["reg"], expected)


def test_the_regularisers_target_stays_when_features_are_trained_unless_aliased() -> None:
    fixed, aliased = make(), make(alias_reg_target=True)
    before = [float(m.losses(m.represent(), BATCH)["reg"].detach()) for m in (fixed, aliased)]
    assert before[0] == before[1]
    with torch.no_grad():
        for model in (fixed, aliased):
            model.features.linear.weight.zero_()  # so that moved features change the target alone
            table = model.features.table
            table.add_(torch.randn(table.shape, generator=torch.Generator().manual_seed(1)))
    moved = [float(m.losses(m.represent(), BATCH)["reg"].detach()) for m in (fixed, aliased)]
    assert moved[0] != moved[1]


PARAMETERS = {"embedding", "features.linear.weight", "features.linear.bias", "gate.weight", "gate.bias"}


def test_frozen_features_are_neither_trained_nor_saved() -> None:
    assert set(make(trainable_features=False).state_dict()) == PARAMETERS
    assert set(make(trainable_features=True).state_dict()) == PARAMETERS | {"features.table"}


def test_one_table_is_taken_as_it_is_and_several_are_joined_with_unit_rows() -> None:
    data, _ = checkerboard()
    assert np.array_equal(unified_features(data), data.features["content"])
    second = np.full((data.n_items, 3), 5.0, dtype=np.float32)
    joined = unified_features(TrainData(data.interactions, {**data.features, "audio": second}))
    assert joined.shape == (data.n_items, data.features["content"].shape[1] + 3)
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), np.sqrt(2.0), rtol=1e-6)


def test_without_features_it_says_what_to_add() -> None:
    data, _ = checkerboard()
    with pytest.raises(SettingsError, match="add --features NAME"):
        make(TrainData(data.interactions))


def test_content_carries_an_item_that_nobody_took() -> None:
    """The content view of a cold item equals that of an item with the same features and id vector."""
    data, _ = checkerboard()
    matrix = data.interactions.tolil()
    matrix[:, 4] = 0
    features = data.features["content"].copy()
    features[4] = features[6]
    model = make(TrainData(matrix.tocsr(), {"content": features}))
    with torch.no_grad():
        model.embedding[model.n_users + 4] = model.embedding[model.n_users + 6]
    content = model.represent().views["content"].items
    torch.testing.assert_close(content[4], content[6], rtol=1e-4, atol=1e-6)
