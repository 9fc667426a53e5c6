"""The plain versions: every step written the way the formulas suggest, as the field's toolboxes do.

Sparse products in coordinate form with automatic gradients, layers stacked and averaged, B x B matrices, Adam as it
comes, negatives drawn one by one in Python. They are what the ratios compare with, and right: the benchmark of a
training step first checks that both sides give the same loss.
"""

import random

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, logsigmoid

from alignrec.types import FloatMatrix, Interactions

__all__ = [
    "BATCH",
    "AlignRec",
    "LightGCN",
    "Sampler",
    "adjacency",
    "info_nce",
    "knn_graph",
    "propagated",
    "regularizer",
    "train_epoch",
]

BATCH = 2048


def adjacency(train: Interactions) -> tuple[Tensor, Tensor]:
    """Â over users and items, and its user-item block, in coordinate form, by way of a dictionary of positions."""
    n_users, n_items = train.shape
    coo, positions = train.tocoo(), {}
    positions.update(zip(zip(coo.row, coo.col + n_users, strict=True), [1] * coo.nnz, strict=True))
    positions.update(zip(zip(coo.col + n_users, coo.row, strict=True), [1] * coo.nnz, strict=True))
    rows, columns = [key[0] for key in positions], [key[1] for key in positions]
    size = n_users + n_items
    matrix = sparse.coo_matrix((list(positions.values()), (rows, columns)), shape=(size, size)).tocsr()
    scale = sparse.diags(np.power(np.asarray(matrix.sum(axis=1)).ravel() + 1e-7, -0.5))
    normal = (scale @ matrix @ scale).tocsr()
    return _torch_coo(normal), _torch_coo(normal[:n_users, n_users:])


def knn_graph(features: FloatMatrix, k: int) -> Tensor:
    """The weighted nearest-neighbour graph from the whole cosine matrix and a Python list of pairs."""
    table = torch.from_numpy(features)
    unit = table / torch.norm(table, p=2, dim=-1, keepdim=True)
    values, indices = torch.topk(torch.mm(unit, unit.t()), k, dim=-1)
    pairs = [[row, int(column)] for row in range(len(indices)) for column in indices[row]]
    edges = torch.tensor([[pair[0] for pair in pairs], [pair[1] for pair in pairs]])
    weights = values.flatten()
    scale = torch.zeros(len(table)).scatter_add_(0, edges[0], weights).pow(-0.5)
    shape = (len(table), len(table))
    return torch.sparse_coo_tensor(edges, scale[edges[0]] * weights * scale[edges[1]], shape, check_invariants=False)


class Sampler:
    """Batches of users, positives and negatives; a negative is drawn again while the user has it."""

    def __init__(self, train: Interactions) -> None:
        coo = train.tocoo()
        self.items = sorted(set(coo.col.tolist()))
        self.pairs = list(zip(coo.row.tolist(), coo.col.tolist(), strict=True))
        self.history: dict[int, set[int]] = {}
        for user, item in self.pairs:
            self.history.setdefault(user, set()).add(item)

    def epoch(self) -> list[tuple[list[int], list[int], list[int]]]:
        """All pairs, shuffled, one negative drawn for each."""
        random.shuffle(self.pairs)
        batches = []
        for start in range(0, len(self.pairs), BATCH):
            users = [user for user, _ in self.pairs[start : start + BATCH]]
            positives = [item for _, item in self.pairs[start : start + BATCH]]
            batches.append((users, positives, [self.negative(user) for user in users]))
        return batches

    def negative(self, user: int) -> int:
        """An item that the user does not have."""
        drawn = random.sample(self.items, 1)[0]
        while drawn in self.history[user]:
            drawn = random.sample(self.items, 1)[0]
        return drawn


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, sampler: Sampler) -> float:
    """One epoch as a plain loop; the sum of the losses."""
    total = 0.0
    for users, positives, negatives in sampler.epoch():
        optimizer.zero_grad()
        loss = model.loss(torch.tensor(users), torch.tensor(positives), torch.tensor(negatives))
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


class LightGCN(nn.Module):
    """Two propagation steps, BPR, norms of the unpropagated rows."""

    def __init__(self, train: Interactions, size: int = 64, reg_weight: float = 1e-3) -> None:
        super().__init__()
        self.users = nn.Parameter(nn.init.xavier_uniform_(torch.empty(train.shape[0], size)))
        self.items = nn.Parameter(nn.init.xavier_uniform_(torch.empty(train.shape[1], size)))
        self.graph, _ = adjacency(train)
        self.reg_weight = reg_weight

    def forward(self) -> tuple[Tensor, Tensor]:
        """All users and items."""
        return propagated(self.graph, self.users, self.items)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Of one batch."""
        all_users, all_items = self()
        u, i, j = all_users[users], all_items[positives], all_items[negatives]
        bpr = -torch.log(1e-10 + torch.sigmoid((u * i).sum(1) - (u * j).sum(1))).mean()
        ego = (self.users[users], self.items[positives], self.items[negatives])
        return bpr + self.reg_weight * sum(torch.norm(rows, p=2) for rows in ego) / len(users)


class AlignRec(nn.Module):
    """Gate, item graph, fusion and the five terms, with trainable features and B x B matrices."""

    def __init__(self, train: Interactions, features: FloatMatrix, size: int = 64) -> None:
        super().__init__()
        self.users = nn.Parameter(nn.init.xavier_uniform_(torch.empty(train.shape[0], size)))
        self.items = nn.Parameter(nn.init.xavier_uniform_(torch.empty(train.shape[1], size)))
        self.features = nn.Embedding.from_pretrained(torch.from_numpy(features).clone(), freeze=False)
        self.project, self.gate = nn.Linear(features.shape[1], size), nn.Linear(size, size)
        self.register_buffer("target", torch.from_numpy(features).clone())
        self.graph, self.interactions = adjacency(train)
        self.neighbors = knn_graph(features, 10)

    def views(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Content and behaviour view: users and items of each."""
        gate = torch.sigmoid(self.gate(self.project(self.features.weight)))
        content_items = torch.sparse.mm(self.neighbors, torch.multiply(self.items, gate))
        content_users = torch.sparse.mm(self.interactions, content_items)
        return content_users, content_items, *propagated(self.graph, self.users, self.items)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Of one batch."""
        content_users, content_items, behaviour_users, behaviour_items = self.views()
        all_users, all_items = content_users + behaviour_users, content_items + behaviour_items
        u, i, j = all_users[users], all_items[positives], all_items[negatives]
        bpr = -logsigmoid((u * i).sum(1) - (u * j).sum(1)).mean()
        l2 = ((u**2).sum() + (i**2).sum() + (j**2).sum()) / 2 / BATCH
        cca = info_nce(content_items[positives], behaviour_items[positives], 0.2)
        cca = cca + info_nce(content_users[users], behaviour_users[users], 0.2)
        uia = 1 - cosine_similarity(u, i, dim=-1).mean()
        reg = regularizer(content_items[positives], self.target[positives], self.target[negatives])
        return bpr + 1e-4 * l2 + 0.01 * cca + 0.1 * uia + 0.1 * reg


def propagated(graph: Tensor, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of three layers, stacked."""
    layers = [torch.cat([users, items], dim=0)]
    for _ in range(2):
        layers.append(torch.sparse.mm(graph, layers[-1]))
    mean = torch.stack(layers, dim=1).mean(dim=1)
    first, second = torch.split(mean, [len(users), len(items)])
    return first, second


def info_nce(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    """From the B x B matrix of cosines."""
    x, y = nn.functional.normalize(x, dim=-1), nn.functional.normalize(y, dim=-1)
    positive = torch.exp((x * y).sum(dim=-1) / temperature)
    everything = torch.exp(torch.matmul(x, y.t()) / temperature).sum(dim=1)
    return -torch.log(positive / everything).mean()


def regularizer(rows: Tensor, targets: Tensor, targets_of_negatives: Tensor) -> Tensor:
    """Distance of dot products from feature cosines, of which the published code makes a second, unread matrix."""
    unread = _cosines(targets_of_negatives)
    return torch.norm(rows @ rows.t() - _cosines(targets)) / len(unread)


def _cosines(rows: Tensor) -> Tensor:
    unit = rows / torch.norm(rows, p=2, dim=-1, keepdim=True)
    return torch.mm(unit, unit.t())


def _torch_coo(matrix: sparse.csr_matrix) -> Tensor:
    coo = matrix.tocoo()
    indices = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    return torch.sparse_coo_tensor(
        indices, torch.from_numpy(coo.data.astype(np.float32)), coo.shape, check_invariants=False
    )
