"""A ratio says something only if both sides compute the same: the plain versions against the library's."""

import random

import numpy as np
import pytest
import torch
from scipy import sparse

from alignrec.graphs import knn_operator, normalized_adjacency, normalized_interactions
from alignrec.losses import info_nce, similarity_regularizer
from alignrec.models import create_model
from alignrec.types import Batch, TrainData
from benchmarks import baby, plain
from benchmarks.__main__ import collect, table
from benchmarks.measure import Row, compare


@pytest.fixture
def train() -> sparse.csr_array:
    dense = np.random.default_rng(0).random((30, 20)) < 0.2
    dense[np.arange(30), np.arange(30) % 20] = True  # nobody and nothing without an interaction
    return sparse.csr_array(dense.astype(np.float32))


def features() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32) + 1


def test_both_build_the_same_graphs(train):
    adjacency, block = plain.adjacency(train)
    eye = torch.eye(50)
    torch.testing.assert_close(adjacency.to_dense(), normalized_adjacency(train)(eye), rtol=0, atol=1e-6)
    torch.testing.assert_close(block.to_dense(), normalized_interactions(train)(eye[:20, :20]), rtol=0, atol=1e-6)
    neighbors = plain.knn_graph(features(), 4).to_dense()
    torch.testing.assert_close(neighbors, knn_operator(features(), 4)(eye[:20, :20]), rtol=0, atol=1e-6)


def test_both_compute_the_same_losses():
    x, y, f = torch.randn(40, 5), torch.randn(40, 5), torch.randn(40, 7)
    torch.testing.assert_close(plain.info_nce(x, y, 0.2), info_nce(x, y, 0.2))
    torch.testing.assert_close(plain.regularizer(x, f, f), similarity_regularizer(x, f))


@pytest.mark.parametrize("name", ["lightgcn", "alignrec"])
def test_both_models_have_the_same_loss(train, name):
    torch.manual_seed(0)
    users, positives = (torch.from_numpy(part.astype(np.int64)) for part in train.tocoo().coords)
    negatives = positives.flip(0)
    theirs = plain.LightGCN(train, 8) if name == "lightgcn" else plain.AlignRec(train, features(), 8)
    settings = {"embedding_size": 8} | ({"l2_batch_size": plain.BATCH} if name == "alignrec" else {"reg_weight": 1e-3})
    ours = create_model(name, TrainData(train, {"f": features()}), torch.Generator(), settings)
    with torch.no_grad():
        ours.embedding.copy_(torch.cat([theirs.users, theirs.items]))
        if name == "alignrec":
            ours.features.linear.load_state_dict(theirs.project.state_dict())
            ours.gate.load_state_dict(theirs.gate.state_dict())
    terms = ours.losses(ours.represent(), Batch(users, positives, negatives))
    torch.testing.assert_close(sum(terms.values()), theirs.loss(users, positives, negatives))


def test_the_plain_sampler_visits_every_pair_once_and_draws_no_item_of_the_user(train):
    random.seed(0)
    batches = plain.Sampler(train).epoch()
    pairs = [(u, i) for users, items, _ in batches for u, i in zip(users, items, strict=True)]
    assert sorted(pairs) == sorted(zip(*(part.tolist() for part in train.tocoo().coords), strict=True))
    dense = train.toarray()
    assert not any(dense[u, j] for users, _, drawn in batches for u, j in zip(users, drawn, strict=True))


def test_the_drawn_data_has_the_size_of_baby():
    splits = baby.interactions()
    assert {name: matrix.nnz for name, matrix in splits.items()} == baby.SPLIT_SIZES
    together = sum(splits.values())
    assert together.max() == 1.0
    assert np.diff(splits["train"].indptr).min() >= 3
    per_item = np.sort(np.bincount(splits["train"].indices, minlength=baby.N_ITEMS))[::-1]
    assert per_item[:705].sum() > 0.3 * per_item.sum()  # a tenth of the items has a third of the interactions


def test_every_measure_is_found_and_the_table_shows_ratios():
    assert {"graph building", "kNN graph", "sparse product"} <= set(collect())
    row = compare("sums", lambda: sum(range(20000)), lambda: sum(range(10)), goal=2)
    assert row.plain > row.ours
    assert table([Row("a", 2.0, 0.5, 3.0)]).row_count == 1
    assert Row("a", 2.0, 0.5).ratio == 4.0
