"""The plain version of LGMRec: every product by itself, the batch against all nodes as dense matrices.

Takes the initial parameters of ours; without noise and dropped memberships, so that both sides give the same loss.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, logsigmoid, normalize

from alignrec.models import Backbone
from alignrec.types import TrainData
from benchmarks import plain

__all__ = ["LGMREC"]


class LGMREC(nn.Module):
    """Behaviour, content by modality, and hypergraphs of one layer; two modalities."""

    def __init__(self, data: TrainData, ours: Backbone[Any]) -> None:  # Any: settings of the model
        super().__init__()
        n_users = data.n_users
        self.users = nn.Parameter(ours.embedding[:n_users].detach().clone())
        self.items = nn.Parameter(ours.embedding[n_users:].detach().clone())
        self.tables = [torch.from_numpy(table) for table in data.features.values()]
        self.weights = nn.ParameterList(part.weight.detach().clone() for part in ours.modalities)
        self.hyperedges = nn.ParameterList(part.hyperedges.detach().clone() for part in ours.modalities)
        self.graph, _ = plain.adjacency(data.interactions)
        coo = data.interactions.tocoo()
        positions = torch.stack([torch.from_numpy(part).long() for part in coo.coords])
        ones = torch.ones(coo.nnz)
        self.interactions = torch.sparse_coo_tensor(positions, ones, coo.shape, check_invariants=False)
        self.shares = 1.0 / torch.from_numpy(data.interactions.sum(axis=1)).float().clamp_min(1)[:, None]  # (U, 1)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Of one batch."""
        sizes = [len(self.users), len(self.items)]
        behaviour = torch.cat(plain.propagated(self.graph, self.users, self.items))
        content = sum(normalize(self._content(*pair)) for pair in zip(self.tables, self.weights, strict=True))
        graphs = [
            self._hypergraph(*pair, behaviour[sizes[0] :]) for pair in zip(self.tables, self.hyperedges, strict=True)
        ]
        everything = behaviour + content + 0.3 * normalize(sum(torch.cat(graph) for graph in graphs))
        all_users, all_items = torch.split(everything, sizes)
        u, i, j = all_users[users], all_items[positives], all_items[negatives]
        bpr = -logsigmoid((u * i).sum(1) - (u * j).sum(1)).mean()
        (first_u, first_i), (second_u, second_i) = graphs
        contrast = _contrast(first_u[users], second_u[users], second_u)
        contrast = contrast + _contrast(first_i[positives], second_i[positives], second_i)
        norms = sum(torch.norm(rows, p=2) for rows in (u, i, j)) / len(users)
        return bpr + 1e-4 * contrast + 1e-6 * norms

    def _content(self, table: Tensor, weight: Tensor) -> Tensor:
        items = torch.mm(table, weight)
        nodes = torch.cat([torch.sparse.mm(self.interactions, items) * self.shares, items])
        for _ in range(2):
            nodes = torch.sparse.mm(self.graph, nodes)
        return nodes

    def _hypergraph(self, table: Tensor, hyperedges: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        logits = torch.mm(table, hyperedges)
        of_users = torch.softmax(torch.sparse.mm(self.interactions, logits) / 0.2, dim=1)
        of_items = dropout(torch.softmax(logits / 0.2, dim=1), 0.0)
        edges = torch.mm(of_items.t(), items)
        return torch.mm(dropout(of_users, 0.0), edges), torch.mm(of_items, edges)


def _contrast(x: Tensor, y: Tensor, candidates: Tensor) -> Tensor:
    x, y, candidates = normalize(x), normalize(y), normalize(candidates)
    positive = torch.exp((x * y).sum(dim=1) / 0.2)
    everything = torch.exp(torch.matmul(x, candidates.t()) / 0.2).sum(dim=1)
    return -torch.log(positive / everything).sum()
