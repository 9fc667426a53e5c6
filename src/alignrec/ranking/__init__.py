"""*user and item vectors → the k best items of each user*: exact, seen items masked, ties by item index."""

from alignrec.ranking.item_knn import item_knn
from alignrec.ranking.topk import top_k, top_k_similar

__all__ = ["item_knn", "top_k", "top_k_similar"]
