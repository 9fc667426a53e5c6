"""*Training data → a backbone that represents users and items.*"""

from alignrec.models.alignrec import AlignRec
from alignrec.models.base import Backbone
from alignrec.models.bpr import BPR
from alignrec.models.lightgcn import LightGCN
from alignrec.models.registry import MODELS, create_model, model_class

__all__ = ["BPR", "MODELS", "AlignRec", "Backbone", "LightGCN", "create_model", "model_class"]
