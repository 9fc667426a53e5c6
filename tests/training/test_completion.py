"""What a backbone lacks is computed as documented, for the rows that are asked for."""

import numpy as np
import pytest
import torch
from scipy import sparse

from alignrec.losses import Needs
from alignrec.models.base import DistinctRows
from alignrec.training.completion import Completion, Provided
from alignrec.types import Batch, Embeddings, Representations, TrainData

MATRIX = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], np.float32)  # the last user has nothing, item 3 nobody
FEATURES = {
    "text": np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], np.float32),
    "image": np.array([[2, 0], [0, 2], [1, 1], [3, 0]], np.float32),
}
DATA = TrainData(sparse.csr_array(MATRIX), FEATURES)
FINAL = Embeddings(torch.arange(6.0).view(3, 2), torch.arange(8.0).view(4, 2))
BATCH = Batch(torch.tensor([1, 0, 1]), torch.tensor([2, 1, 2]), torch.tensor([0, 0, 0]))
BARE = Provided(2, (), False)


def in_part(reps: Representations) -> tuple[Representations, Batch]:
    """As a backbone that represents the batch alone would."""
    rows = DistinctRows.of(BATCH)
    final = Embeddings(reps.final.users[rows.users], reps.final.items[rows.items])
    return Representations(final, user_ids=rows.users, item_ids=rows.items), rows.batch


@pytest.mark.parametrize("whole", [True, False])
def test_content_is_the_projected_features_of_the_batchs_items(whole: bool) -> None:
    completion = Completion(Needs(content=True), BARE, DATA, seed=0)
    reps, batch = completion(*((Representations(FINAL), BATCH) if whole else in_part(Representations(FINAL))))
    assert list(reps.content) == ["image", "text"], "in alphabetical order, whatever the order of the data"
    assert reps.item_ids.tolist() == [0, 1, 2], "positives and negatives, each once"
    for name, part in zip(reps.content, completion.projections, strict=True):
        expected = torch.from_numpy(FEATURES[name])[BATCH.positives] @ part.linear.weight.t()
        torch.testing.assert_close(reps.content[name][batch.positives], expected)
    assert torch.equal(reps.final.users[batch.users], FINAL.users[BATCH.users])
    assert torch.equal(reps.final.items[batch.negatives], FINAL.items[BATCH.negatives])


@pytest.mark.parametrize("whole", [True, False])
def test_the_content_view_is_a_mean_over_modalities_and_over_a_users_training_items(whole: bool) -> None:
    completion = Completion(Needs(views=True), BARE, DATA, seed=0)
    reps, batch = completion(*((Representations(FINAL), BATCH) if whole else in_part(Representations(FINAL))))
    image, text = (
        torch.from_numpy(FEATURES[n]) @ p.linear.weight.t()
        for n, p in zip(("image", "text"), completion.projections, strict=True)
    )
    items = (image + text) / 2
    users = torch.stack([(items[0] + items[1]) / 2, (items[1] + items[2]) / 2, torch.zeros(2)])
    view = reps.views["content"]
    torch.testing.assert_close(view.items[batch.positives], items[BATCH.positives])
    torch.testing.assert_close(view.users[batch.users], users[BATCH.users])
    assert reps.views["behaviour"] is reps.final
    if whole:
        torch.testing.assert_close(view.users, users)


def test_what_the_backbone_has_is_taken_as_it_is() -> None:
    content = {"image": torch.ones(4, 2)}
    views = {"behaviour": FINAL, "content": FINAL}
    reps = Representations(FINAL, content, views)
    provided = Provided.by(reps)
    assert provided == Provided(2, ("image",), True)
    completion = Completion(Needs(content=True, views=True), provided, DATA, seed=0)
    assert completion(reps, BATCH) == (reps, BATCH)
    assert list(completion.parameters()) == []
    assert completion.modalities == ("image",)


def test_a_content_view_is_built_of_the_backbones_own_content_with_all_rows() -> None:
    content = {"b": torch.rand(4, 2), "a": torch.rand(4, 2)}
    reps = Representations(FINAL, content)
    completion = Completion(Needs(views=True), Provided.by(reps), DATA, seed=0)
    assert completion.needs_all_rows
    view = completion(reps, BATCH)[0].views["content"]
    torch.testing.assert_close(view.items, (content["a"] + content["b"]) / 2)
    torch.testing.assert_close(view.users[0], view.items[:2].mean(0))


def test_content_of_another_width_is_projected_anew() -> None:
    reps = Representations(FINAL, {"image": torch.ones(4, 5)})
    assert Provided.by(reps).modalities == ()
    completion = Completion(Needs(content=True), Provided.by(reps), DATA, seed=0)
    assert {table.shape[1] for table in completion(reps, BATCH)[0].content.values()} == {2}


def test_a_behaviour_view_of_another_width_than_the_built_content_gives_way_to_what_is_scored() -> None:
    narrow = Embeddings(torch.zeros(3, 1), torch.zeros(4, 1))
    reps = Representations(FINAL, views={"behaviour": narrow})
    completed, _ = Completion(Needs(views=True), Provided.by(reps), DATA, seed=0)(reps, BATCH)
    assert completed.views["behaviour"] is FINAL


def test_other_views_come_along_cut_to_the_batch() -> None:
    reps = Representations(FINAL, views={"ego": FINAL})
    completed, batch = Completion(Needs(content=True), BARE, DATA, seed=0)(reps, BATCH)
    assert torch.equal(completed.views["ego"].items[batch.positives], FINAL.items[BATCH.positives])


def test_a_projection_depends_on_seed_and_name_alone() -> None:
    alone = TrainData(DATA.interactions, {"text": FEATURES["text"]})
    both, one, other = (
        Completion(Needs(content=True), BARE, data, seed).projections[-1].linear.weight
        for data, seed in ((DATA, 1), (alone, 1), (alone, 2))
    )
    assert torch.equal(both, one)
    assert not torch.equal(one, other)


def test_features_are_not_among_the_weights() -> None:
    names = Completion(Needs(content=True, views=True), BARE, DATA, seed=0).state_dict()
    assert all(name.endswith(("linear.weight", "linear.bias")) for name in names)
