"""*Training data → a backbone that represents users and items.*"""

from alignrec.models.alignrec import AlignRec
from alignrec.models.base import Backbone, batch_rows, xavier_normal_table, xavier_uniform_table
from alignrec.models.bm3 import BM3
from alignrec.models.bpr import BPR
from alignrec.models.directau import DirectAU
from alignrec.models.dream import DREAM
from alignrec.models.dualgnn import DualGNN
from alignrec.models.freedom import FREEDOM
from alignrec.models.grcn import GRCN
from alignrec.models.lattice import LATTICE
from alignrec.models.lgmrec import LGMRec
from alignrec.models.lightgcn import LightGCN
from alignrec.models.mgcn import MGCN
from alignrec.models.mmgcn import MMGCN
from alignrec.models.ncl import NCL
from alignrec.models.projection import trained_tables
from alignrec.models.registry import MODELS, create_model, model_class, register_model
from alignrec.models.sgl import SGL
from alignrec.models.slmrec import SLMRec
from alignrec.models.vbpr import VBPR

__all__ = [
    "BM3",
    "BPR",
    "DREAM",
    "FREEDOM",
    "GRCN",
    "LATTICE",
    "MGCN",
    "MMGCN",
    "MODELS",
    "NCL",
    "SGL",
    "VBPR",
    "AlignRec",
    "Backbone",
    "DirectAU",
    "DualGNN",
    "LGMRec",
    "LightGCN",
    "SLMRec",
    "batch_rows",
    "create_model",
    "model_class",
    "register_model",
    "trained_tables",
    "xavier_normal_table",
    "xavier_uniform_table",
]
