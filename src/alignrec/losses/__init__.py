"""*Tensors → one number to minimise.*"""

from alignrec.losses.contrastive import cosine_alignment, info_nce, info_nce_rows
from alignrec.losses.ranking import bpr_loss, embedding_norm, squared_norm
from alignrec.losses.similarity import similarity_regularizer, similarity_regularizer_rows

__all__ = [
    "bpr_loss",
    "cosine_alignment",
    "embedding_norm",
    "info_nce",
    "info_nce_rows",
    "similarity_regularizer",
    "similarity_regularizer_rows",
    "squared_norm",
]
