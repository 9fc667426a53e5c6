import numpy as np
import pytest
import torch
from checkerboard import checkerboard
from golden import assert_close, assert_gradients, assert_scores, load_golden, set_parameters
from scipy import sparse

from alignrec.graphs import normalized_adjacency
from alignrec.models import create_model
from alignrec.types import Batch

NAMES = {"embedding": ("user_embeddings.weight", "item_embeddings.weight")}
SETTINGS = {"embedding_size": 8, "n_layers": 3, "l2_weight": 0.01, "contrastive_weight": 0.1, "temperature": 0.2}
BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 6]), torch.tensor([1, 0, 5, 7]))


def make(**settings):
    values = {"embedding_size": 8, **settings}
    return create_model("sgl", checkerboard()[0], torch.Generator().manual_seed(0), values)


def golden_model(goldens, dtype, **settings):
    """The authors' parameters, and the edges they kept in both graphs."""
    golden = load_golden(goldens, "sgl")
    model = create_model("sgl", golden.data(goldens), torch.Generator(), {**SETTINGS, **settings}).to(dtype)
    set_parameters(model, golden, NAMES)
    kept = [golden.tensors[f"input/kept_edges{n}"].numpy() for n in (1, 2)]
    graphs = [sparse.csr_array((np.ones(edges.shape[1]), tuple(edges)), shape=(60, 40)) for edges in kept]
    model.first, model.second = (normalized_adjacency(graph) for graph in graphs)
    return golden, model


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_sums_gradients_and_scores_equal_the_authors(goldens, dtype, tolerance, whole) -> None:
    golden, model = golden_model(goldens, dtype, sum_over_batch=True)
    terms = model.losses(*((model.represent(), golden.batch) if whole else model.represent_batch(golden.batch)))
    loss = golden.tensors
    assert_close(terms["bpr"].detach(), loss["loss/bpr"], tolerance, "bpr")
    assert_close(terms["l2"].detach(), 0.01 * loss["loss/l2"], tolerance, "l2")
    contrast = loss["loss/ssl_user"] + loss["loss/ssl_item"]
    assert_close(terms["contrastive"].detach(), 0.1 * contrast, tolerance, "contrastive")
    total = sum(terms.values())
    assert_close(total.detach(), loss["loss/total"], tolerance, "total")
    total.backward()
    assert_gradients(model, golden, NAMES, tolerance)
    assert_scores(model.represent().final, golden, tolerance)


def test_means_are_the_sums_over_the_size_of_the_batch(goldens) -> None:
    golden, model = golden_model(goldens, torch.float64)
    total = sum(model.losses(model.represent(), golden.batch).values())
    assert_close(total.detach(), golden.tensors["loss/total"] / 48, 1e-6, "total")


def test_the_graphs_equal_the_authors(goldens) -> None:
    golden, model = golden_model(goldens, torch.float64)
    eye = torch.eye(100, dtype=torch.float64)
    for graph, name in ((model.first, "sub_graph1"), (model.second, "sub_graph2"), (model.adjacency, "norm_adj")):
        assert_close(graph(eye), golden.tensors[f"buffer/{name}"], 1e-6, name)


def test_an_epoch_draws_two_graphs_and_evaluation_uses_all_edges() -> None:
    model = make(edge_dropout=0.5)
    whole = model.represent().final.users
    model.start_epoch(torch.Generator().manual_seed(1))
    first, second = model.first.indices, model.second.indices
    assert model.first.nnz == model.second.nnz == model.adjacency.nnz // 2
    assert not torch.equal(first, second)
    assert torch.equal(model.eval().represent().final.users, whole)
    model.start_epoch(torch.Generator().manual_seed(1))
    assert torch.equal(model.first.indices, first)
    model.start_epoch(torch.Generator().manual_seed(2))
    assert not torch.equal(model.first.indices, first)


def test_without_its_weight_the_contrast_is_left_out() -> None:
    model = make(contrastive_weight=0)
    assert set(model.losses(model.represent(), BATCH)) == {"bpr", "l2"}
