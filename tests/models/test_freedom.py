import numpy as np
import pytest
import torch
from checkerboard import checkerboard, with_modalities
from golden import assert_close, load_golden
from scipy import sparse

from alignrec.errors import SettingsError
from alignrec.graphs import normalized_adjacency
from alignrec.models import create_model
from alignrec.types import Batch, TrainData

SETTINGS = {
    "embedding_size": 8,
    "n_layers": 3,
    "n_content_layers": 2,
    "n_neighbors": 5,
    "modality_weights": {"image": 0.3, "text": 0.7},
    "edge_dropout": 0.5,
    "content_weight": 0.1,
}
BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 6]), torch.tensor([1, 0, 5, 7]))


def make(data: TrainData | None = None, **settings):
    values = {"embedding_size": 8, "n_neighbors": 4, **settings}
    return create_model("freedom", data or checkerboard()[0], torch.Generator().manual_seed(0), values)


def golden_model(goldens, dtype):
    """The authors' parameters and the edges they kept."""
    golden = load_golden(goldens, "freedom")
    model = create_model("freedom", golden.data(goldens, "image", "text"), torch.Generator(), SETTINGS).to(dtype)
    names = {"embedding": ("user_embedding.weight", "item_id_embedding.weight")}
    for index, modality in enumerate(("image", "text")):
        names[f"projections.of.{index}.table"] = (f"{modality}_embedding.weight",)
        names[f"projections.of.{index}.linear.weight"] = (f"{modality}_trs.weight",)
        names[f"projections.of.{index}.linear.bias"] = (f"{modality}_trs.bias",)
    assert set(names) == {name for name, _ in model.named_parameters()}
    with torch.no_grad():
        for ours, theirs in names.items():
            model.get_parameter(ours).copy_(torch.cat([golden.tensors[f"param/{name}"] for name in theirs]))
    users, items = golden.tensors["input/kept_edges"].numpy()
    kept = sparse.csr_array((np.ones(len(users)), (users, items)), shape=(60, 40))
    return golden, model, names, normalized_adjacency(kept)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_terms_gradients_and_scores_equal_the_authors(goldens, dtype, tolerance) -> None:
    golden, model, names, pruned = golden_model(goldens, dtype)
    eye = torch.eye(100, dtype=torch.float64)
    assert_close(pruned(eye), golden.tensors["buffer/masked_adj"], 1e-6, "pruned graph")
    model.pruned = pruned
    terms = model.losses(model.represent(), golden.batch)
    content = golden.tensors["loss/bpr_text"] + golden.tensors["loss/bpr_image"]
    assert_close(terms["bpr"].detach(), golden.tensors["loss/bpr"], tolerance, "bpr")
    assert_close(terms["content"].detach(), 0.1 * content, tolerance, "content")
    sum(terms.values()).backward()
    for ours, theirs in names.items():
        expected = torch.cat([golden.tensors[f"grad/{name}"] for name in theirs])
        assert_close(model.get_parameter(ours).grad, expected, tolerance, f"gradient of {ours}")
    final = model.eval().represent().final
    assert_close((final.users @ final.items.t()).detach(), golden.tensors["scores"], tolerance, "scores")


def test_losses_follow_the_authors_over_adam_steps_and_on_the_whole_graph(goldens) -> None:
    golden, model, _, pruned = golden_model(goldens, torch.float64)
    unpruned = sum(model.losses(model.represent(), golden.batch).values())
    assert_close(unpruned.detach(), golden.tensors["variant/nodrop/total"], 1e-6, "loss on the whole graph")
    model.pruned = pruned
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step, expected in enumerate(golden.about["trajectory"]):
        optimizer.zero_grad()
        loss = sum(model.losses(*model.represent_batch(golden.batch)).values())
        assert_close(loss.detach(), expected, 2e-6, f"loss before step {step + 1}")
        loss.backward()
        optimizer.step()


def test_training_propagates_over_the_epochs_edges_and_evaluation_over_all() -> None:
    model = make(edge_dropout=0.5)
    whole = model.eval().represent().final.users
    model.train().start_epoch(torch.Generator().manual_seed(1))
    first = model.represent().final.users
    model.start_epoch(torch.Generator().manual_seed(1))
    assert torch.equal(model.represent().final.users, first)
    model.start_epoch(torch.Generator().manual_seed(2))
    assert not torch.equal(model.represent().final.users, first)
    assert torch.equal(model.eval().represent().final.users, whole)
    assert model.pruned.nnz == model.adjacency.nnz // 2


@pytest.mark.parametrize("sizes", [(5,), (6, 3, 2)])
def test_modalities_weigh_the_same_unless_told_otherwise(sizes) -> None:
    data = with_modalities(*sizes)
    equal = make(data, modality_weights=dict.fromkeys(data.features, 7.0))
    assert torch.equal(make(data).neighbors.values, equal.neighbors.values)
    terms = make(data).losses(equal.represent(), BATCH)
    assert bool(torch.isfinite(terms["content"]))


def test_a_weight_of_a_modality_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="names image; give one weight for each of the features of this run: cont"):
        make(modality_weights={"image": 1.0})


def test_the_content_view_of_a_user_is_the_mean_over_the_items_taken() -> None:
    model = make()
    content = model.represent().views["content"]
    taken = torch.from_numpy(model.edges.indices[: model.edges.indptr[1]]).long()
    torch.testing.assert_close(content.users[0], content.items[taken].mean(dim=0))
    part, batch = model.represent_batch(BATCH)
    torch.testing.assert_close(part.views["content"].users[batch.users[0]], content.users[0])


def test_without_the_content_term_features_are_not_trained() -> None:
    model = make(content_weight=0)
    terms = model.losses(model.represent(), BATCH)
    assert set(terms) == {"bpr"}
