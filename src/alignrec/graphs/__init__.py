"""*Interactions and features → graphs, built once.*"""

from alignrec.graphs.bipartite import degrees, normalized_adjacency, normalized_interactions
from alignrec.graphs.knn import KnnGraph, knn, knn_operator

__all__ = ["KnnGraph", "degrees", "knn", "knn_operator", "normalized_adjacency", "normalized_interactions"]
