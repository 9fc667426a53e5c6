"""The plain versions of the models with features: all items projected at every step, dense or coordinate graphs.

Each takes the initial parameters of ours, so that both sides must give the same loss.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, logsigmoid, normalize

from alignrec.models import Backbone
from alignrec.types import TrainData
from benchmarks import plain

__all__ = ["BM3", "FREEDOM", "LATTICE", "MGCN", "VBPR"]


class VBPR(nn.Module):
    """The joint features of all items times one matrix, at every step."""

    def __init__(self, data: TrainData, ours: Backbone[Any]) -> None:  # Any: settings of the model; so below
        super().__init__()
        self.users, self.items = _copy(ours.user_embedding), _copy(ours.item_embedding)
        self.features = torch.cat([torch.from_numpy(table) for table in data.features.values()], dim=1)
        self.linear = nn.Linear(self.features.shape[1], self.items.shape[1])
        self.linear.load_state_dict(ours.content.linear.state_dict())

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Of one batch."""
        items = torch.cat([self.items, self.linear(self.features)], dim=-1)
        u, i, j = self.users[users], items[positives], items[negatives]
        bpr = -torch.log(1e-10 + torch.sigmoid((u * i).sum(1) - (u * j).sum(1))).mean()
        return bpr + 0.1 * sum(torch.norm(rows, p=2) for rows in (u, i, j)) / len(users)


class _Projected(nn.Module):
    """Ids, trainable feature tables and linear maps, and the interaction graph."""

    def __init__(self, data: TrainData, ours: Backbone[Any]) -> None:
        super().__init__()
        n_users = data.n_users
        self.users, self.items = _copy(ours.embedding[:n_users]), _copy(ours.embedding[n_users:])
        self.tables = nn.ModuleList(
            nn.Embedding.from_pretrained(torch.from_numpy(table).clone(), freeze=False)
            for table in data.features.values()
        )
        self.maps = nn.ModuleList(nn.Linear(table.shape[1], 64) for table in data.features.values())
        for mine, yours in zip(self.maps, ours.projections.of, strict=True):
            mine.load_state_dict(yours.linear.state_dict())
        self.graph, self.interactions = plain.adjacency(data.interactions)

    def projected(self) -> list[Tensor]:
        """Features of all items, by modality."""
        return [layer(table.weight) for layer, table in zip(self.maps, self.tables, strict=True)]


class BM3(_Projected):
    """One propagation step, predictor over all nodes and all projected features; no dropout, to compare losses."""

    def __init__(self, data: TrainData, ours: Backbone[Any]) -> None:
        super().__init__(data, ours)
        self.predictor = nn.Linear(64, 64)
        self.predictor.load_state_dict(ours.predictor.state_dict())

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:  # noqa: ARG002  (it reads none)
        """Of one batch."""
        ego = torch.cat([self.users, self.items])
        mean = torch.stack([ego, torch.sparse.mm(self.graph, ego)], dim=1).mean(dim=1)
        u, i = mean[: len(self.users)], mean[len(self.users) :] + self.items
        content = self.projected()
        user_target, item_target = (nn.functional.dropout(x.detach().clone(), 0.0) for x in (u, i))
        targets = [nn.functional.dropout(x.detach().clone(), 0.0) for x in content]
        p_u, p_i = self.predictor(u)[users], self.predictor(i)[positives]
        total = _far(p_u, item_target[positives]) + _far(p_i, user_target[users])
        for x, target in zip(content, targets, strict=True):
            predicted = self.predictor(x)[positives]
            total = total + 2 * (_far(predicted, item_target[positives]) + _far(predicted, target[positives]))
        return total + 0.1 * (torch.norm(u, p=2) + torch.norm(i, p=2)) / len(i)


class FREEDOM(_Projected):
    """The whole interaction graph replaced by the one that ours drew; both modalities of all items projected."""

    def __init__(self, data: TrainData, ours: Backbone[Any]) -> None:
        super().__init__(data, ours)
        self.graph, self.neighbors = _coo(ours.pruned), _coo(ours.neighbors)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Of one batch."""
        related = torch.sparse.mm(self.neighbors, self.items)
        u, i = plain.propagated(self.graph, self.users, self.items)
        total = _bpr(u[users], (i + related)[positives], (i + related)[negatives])
        for x in self.projected():
            total = total + 1e-3 * _bpr(u[users], x[positives], x[negatives])
        return total


class MGCN(_Projected):
    """Every layer over all nodes, B x B contrasts."""

    def __init__(self, data: TrainData, ours: Backbone[Any]) -> None:
        super().__init__(data, ours)
        self.neighbors = [_coo(graph) for graph in ours.neighbors]
        self.gates = nn.ModuleList(nn.Linear(64, 64) for _ in ours.gates)
        self.preferences = nn.ModuleList(nn.Linear(64, 64) for _ in ours.gates)
        self.attention, self.query = nn.Linear(64, 64), nn.Linear(64, 1, bias=False)
        for name in ("gates", "preferences", "attention", "query"):
            getattr(self, name).load_state_dict(getattr(ours, name).state_dict())

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Of one batch."""
        behaviour = torch.cat(plain.propagated(self.graph, self.users, self.items))
        content = []
        for x, gate, graph in zip(self.projected(), self.gates, self.neighbors, strict=True):
            items = torch.sparse.mm(graph, self.items * torch.sigmoid(gate(x)))
            content.append(torch.cat([torch.sparse.mm(self.interactions, items), items]))
        shares = torch.softmax(torch.cat([self.query(torch.tanh(self.attention(x))) for x in content], dim=-1), dim=-1)
        common = sum(shares[:, n].unsqueeze(1) * x for n, x in enumerate(content))
        own = [torch.sigmoid(p(behaviour)) * (x - common) for p, x in zip(self.preferences, content, strict=True)]
        side = (sum(own) + common) / 3
        sizes = [len(self.users), len(self.items)]
        (all_u, all_i), (side_u, side_i), (id_u, id_i) = (
            torch.split(table, sizes) for table in (behaviour + side, side, behaviour)
        )
        u, i, j = all_u[users], all_i[positives], all_i[negatives]
        l2 = ((u**2).sum() + (i**2).sum() + (j**2).sum()) / 2 / plain.BATCH
        contrast = plain.info_nce(side_i[positives], id_i[positives], 0.2)
        contrast = contrast + plain.info_nce(side_u[users], id_u[users], 0.2)
        return _bpr(u, i, j) + 1e-4 * l2 + 0.01 * contrast


class LATTICE(_Projected):
    """Dense item-item graphs, rebuilt where `item_graph` is None."""

    def __init__(self, data: TrainData, ours: Backbone[Any]) -> None:
        super().__init__(data, ours)
        self.graph, self.logits = _coo(ours.adjacency), _copy(ours.modality_logits)
        self.initial = [_scaled(_dense_knn(torch.from_numpy(table))) for table in data.features.values()]
        self.item_graph: Tensor | None = None

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Of one batch."""
        if self.item_graph is None:
            shares = torch.softmax(self.logits, dim=0)
            learned = _scaled(sum(w * _dense_knn(x) for w, x in zip(shares, self.projected(), strict=True)))
            graph = 0.1 * learned + 0.9 * sum(w * x for w, x in zip(shares, self.initial, strict=True))
        else:
            graph = self.item_graph
        self.item_graph = graph.detach()
        u, i = plain.propagated(self.graph, self.users, self.items)
        i = i + normalize(torch.mm(graph, self.items), p=2, dim=1)
        u, i, j = u[users], i[positives], i[negatives]
        l2 = ((u**2).sum() + (i**2).sum() + (j**2).sum()) / 2 / plain.BATCH
        return _bpr(u, i, j) + 1e-5 * l2


def _bpr(u: Tensor, i: Tensor, j: Tensor) -> Tensor:
    return -logsigmoid((u * i).sum(1) - (u * j).sum(1)).mean()


def _far(x: Tensor, y: Tensor) -> Tensor:
    return 1 - cosine_similarity(x, y, dim=-1).mean()


def _dense_knn(table: Tensor) -> Tensor:
    unit = table / torch.norm(table, p=2, dim=-1, keepdim=True)
    cosines = torch.mm(unit, unit.t())
    values, indices = torch.topk(cosines, 10, dim=-1)
    return torch.zeros_like(cosines).scatter_(-1, indices, values)


def _scaled(matrix: Tensor) -> Tensor:
    root = torch.diagflat(matrix.sum(-1).pow(-0.5))
    return torch.mm(torch.mm(root, matrix), root)


def _coo(operator: Any) -> Tensor:  # Any: a SparseOperator
    lengths = operator.indptr.diff().long()
    rows = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    indices = torch.stack([rows, operator.indices.long()])
    return torch.sparse_coo_tensor(indices, operator.values, operator.shape, check_invariants=False)


def _copy(table: Tensor) -> nn.Parameter:
    return nn.Parameter(table.detach().clone())
