"""*Interactions and features → graphs, built once.*"""

from alignrec.graphs.bipartite import (
    degrees,
    mean_adjacency,
    mean_interactions,
    normalized_adjacency,
    normalized_interactions,
    random_walk_adjacency,
)
from alignrec.graphs.co_occurrence import co_occurrence
from alignrec.graphs.knn import KnnGraph, knn, knn_operator, mixed_knn_operator
from alignrec.graphs.prune import sample_edges

__all__ = [
    "KnnGraph",
    "co_occurrence",
    "degrees",
    "knn",
    "knn_operator",
    "mean_adjacency",
    "mean_interactions",
    "mixed_knn_operator",
    "normalized_adjacency",
    "normalized_interactions",
    "random_walk_adjacency",
    "sample_edges",
]
