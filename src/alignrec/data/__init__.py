"""*Raw files → Dataset: users, items, interactions in three splits, a catalogue.*"""

from alignrec.data.dataset import SPLITS, Dataset, InteractionLog, Vocabulary

__all__ = ["SPLITS", "Dataset", "InteractionLog", "Vocabulary"]
