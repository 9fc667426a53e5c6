"""The plain version of FETTLE on LightGCN: matrices of rows by prototypes and their codes written out.

Rows of the batch with their copies, Sinkhorn's iterations on whole matrices, one cross-entropy per direction, both
feature tables projected for all items. Takes the initial parameters of ours, so that both sides give the same loss.
"""

from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, normalize

from alignrec.training.objective import Objective
from alignrec.types import TrainData
from benchmarks import plain

__all__ = ["FETTLE"]


class FETTLE(nn.Module):
    """Two propagation steps, BPR and norms of LightGCN; item-level and cluster-level alignment of ids and features."""

    def __init__(self, data: TrainData, ours: Objective) -> None:
        super().__init__()
        host, plugin, n_users = ours.backbone, ours.plugins["fettle"], data.n_users
        self.users = nn.Parameter(host.embedding[:n_users].detach().clone())
        self.items = nn.Parameter(host.embedding[n_users:].detach().clone())
        self.graph, _ = plain.adjacency(data.interactions)
        self.tables = [torch.from_numpy(data.features[name]) for name in plugin.modalities]
        self.layers = nn.ModuleList(nn.Linear(table.shape[1], self.items.shape[1]) for table in self.tables)
        for mine, yours in zip(self.layers, ours.completion.projections, strict=True):
            mine.load_state_dict(yours.linear.state_dict())
        self.maps = nn.ParameterList(weight.detach().clone() for weight in plugin.maps)
        names = ("item_temperature", "cluster_temperature", "user_item_codebook", "content_codebook")
        for name in names:
            setattr(self, name, nn.Parameter(getattr(plugin, name).detach().clone()))

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Of one batch."""
        all_users, all_items = plain.propagated(self.graph, self.users, self.items)
        u, i, j = all_users[users], all_items[positives], all_items[negatives]
        bpr = -torch.log(1e-10 + torch.sigmoid((u * i).sum(1) - (u * j).sum(1))).mean()
        ego = (self.users[users], self.items[positives], self.items[negatives])
        norms = sum(torch.norm(rows, p=2) for rows in ego) / len(users)
        content = [layer(table) for layer, table in zip(self.layers, self.tables, strict=True)]
        tables = [normalize(all_items), *(normalize(table) for table in content)]
        own = normalize(u)
        return (
            bpr
            + 1e-3 * norms
            + 1e-3 * (self._by_item(tables, own, positives) + self._by_cluster(tables, own, positives))
        )

    def _by_item(self, tables: list[Tensor], users: Tensor, positives: Tensor) -> Tensor:
        items, rows, counts = torch.unique(positives, return_inverse=True, return_counts=True)
        tables = [table[items] for table in tables]
        mean_users = torch.zeros_like(tables[0]).index_add(0, rows, users.detach()) / counts[:, None]
        scores = [(mean_users * table.detach()).sum(dim=1) for table in tables]
        self.item_temperature.data.clamp_(0.001, 0.5)
        alignment, tuning = users.new_zeros(()), users.new_zeros(())
        for (source, target), weight in zip(permutations(range(len(tables)), 2), self.maps, strict=True):
            chosen = (scores[source] < scores[target]).nonzero().squeeze(1)
            if len(chosen) == 0:
                continue
            vectors = tables[source][chosen]
            mapped = normalize(vectors + vectors @ weight.t())
            logits = mapped @ tables[target].detach().t() / self.item_temperature
            alignment = alignment + cross_entropy(logits, chosen, reduction="sum")
            tuning = tuning - ((mean_users[chosen] * mapped).sum(dim=1) - scores[source][chosen]).mean()
        return alignment / len(items) + tuning / len(self.maps)

    def _by_cluster(self, tables: list[Tensor], users: Tensor, positives: Tensor) -> Tensor:
        self.cluster_temperature.data.clamp_(0.01, 0.99)
        rows = [table[positives] for table in tables]
        by_users = self._swapped(self.user_item_codebook, [users, rows[0]])
        return by_users + self._swapped(self.content_codebook, rows)

    def _swapped(self, codebook: Tensor, views: list[Tensor]) -> Tensor:
        codebook.data.copy_(normalize(codebook.data))
        scores = [view @ codebook.t() for view in views]  # (B, P) each
        codes = [_codes(matrix.detach()) for matrix in scores]
        logs = [log_softmax(matrix / self.cluster_temperature, dim=1) for matrix in scores]
        pairs = list(permutations(range(len(views)), 2))
        return sum(-(codes[n] * logs[m]).sum(dim=1).mean() for m, n in pairs) / len(pairs)


def _codes(scores: Tensor) -> Tensor:
    shares = torch.exp(scores / 0.05).t()  # (P, B)
    shares /= shares.sum()
    n_prototypes, n_rows = shares.shape
    for _ in range(3):
        shares /= shares.sum(dim=1, keepdim=True)
        shares /= n_prototypes
        shares /= shares.sum(dim=0, keepdim=True)
        shares /= n_rows
    return (shares * n_rows).t()
