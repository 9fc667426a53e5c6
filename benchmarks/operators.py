"""Graphs, the sparse product and the losses of one batch beside their plain versions, at Baby's size."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alignrec.graphs import knn_operator, normalized_adjacency, normalized_interactions
from alignrec.losses import info_nce_rows, similarity_regularizer_rows
from alignrec.ops import propagate_mean, spmm
from benchmarks import baby, plain
from benchmarks.measure import Row, compare, peak_megabytes

__all__ = ["MEASURES"]


def _batch() -> tuple[Tensor, Tensor]:
    coo = baby.interactions()["train"].tocoo()
    rows = np.random.default_rng(0).choice(coo.nnz, size=plain.BATCH, replace=False)
    return torch.from_numpy(coo.row[rows].astype(np.int64)), torch.from_numpy(coo.col[rows].astype(np.int64))


def _with_gradient(function: Callable[..., Tensor], *tables: Tensor) -> None:
    for table in tables:
        table.grad = None
    function(*tables).backward()


def graph_building() -> Row:
    """Â and R̂ from the interactions."""
    train = baby.interactions()["train"]
    return compare(
        "graph building",
        lambda: plain.adjacency(train),
        lambda: (normalized_adjacency(train), normalized_interactions(train)),
        goal=20,
    )


def neighbor_graph() -> Row:
    """The 10 nearest of every item."""
    features = baby.unified_features()
    return compare(
        "kNN graph", lambda: plain.knn_graph(features, 10), lambda: knn_operator(features, 10), goal=3, repeats=9
    )


def neighbor_graph_memory() -> Row:
    """What the neighbour graph adds to the peak memory of a process that holds the features."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.npy"
        np.save(path, baby.unified_features())
        template = (
            "import numpy as np\nfrom alignrec.graphs import knn_operator\nfrom benchmarks import plain\n"
            f"features = np.load({str(path)!r})\nknn_operator(features[:100], 10)\n# measured from here\n"
        )
        dense = peak_megabytes(f"{template}plain.knn_graph(features, 10)")
        ours = peak_megabytes(f"{template}knn_operator(features, 10)")
    return Row("kNN graph, added peak memory", dense, ours, unit="MB")


def sparse_product() -> Row:
    """Â times a table of 64 columns, forward and backward."""
    train = baby.interactions()["train"]
    graph, operator = plain.adjacency(train)[0], normalized_adjacency(train)
    table = torch.randn(sum(train.shape), 64, requires_grad=True)
    return compare(
        "sparse product",
        lambda: _with_gradient(lambda x: torch.sparse.mm(graph, x).sum(), table),
        lambda: _with_gradient(lambda x: spmm(operator, x).sum(), table),
        repeats=15,
    )


def layer_mean() -> Row:
    """Two layers and their mean, forward and backward."""
    train = baby.interactions()["train"]
    graph, operator = plain.adjacency(train)[0], normalized_adjacency(train)
    table = torch.randn(sum(train.shape), 64, requires_grad=True)
    n_users = train.shape[0]
    return compare(
        "layer mean",
        lambda: _with_gradient(lambda x: plain.propagated(graph, x[:n_users], x[n_users:])[0].sum(), table),
        lambda: _with_gradient(lambda x: propagate_mean(operator, x, 2)[:n_users].sum(), table),
        repeats=15,
    )


def contrastive_loss() -> Row:
    """InfoNCE of a batch's users and of its items."""
    users, items = _batch()
    tables = [torch.randn(n, 64, requires_grad=True) for n in (baby.N_USERS, baby.N_USERS, baby.N_ITEMS, baby.N_ITEMS)]

    def ours(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return info_nce_rows(a, b, users, 0.2) + info_nce_rows(c, d, items, 0.2)

    def dense(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return plain.info_nce(a[users], b[users], 0.2) + plain.info_nce(c[items], d[items], 0.2)

    return compare("InfoNCE", lambda: _with_gradient(dense, *tables), lambda: _with_gradient(ours, *tables), repeats=9)


def similarity_loss() -> Row:
    """AlignRec's REG of a batch."""
    _, items = _batch()
    features = torch.from_numpy(baby.unified_features())
    table = torch.randn(baby.N_ITEMS, 64, requires_grad=True)
    return compare(
        "REG",
        lambda: _with_gradient(lambda z: plain.regularizer(z[items], features[items], features[items.flip(0)]), table),
        lambda: _with_gradient(lambda z: similarity_regularizer_rows(z, features, items), table),
        repeats=9,
    )


MEASURES = {
    "graph building": graph_building,
    "kNN graph": neighbor_graph,
    "kNN graph memory": neighbor_graph_memory,
    "sparse product": sparse_product,
    "layer mean": layer_mean,
    "InfoNCE": contrastive_loss,
    "REG": similarity_loss,
}
