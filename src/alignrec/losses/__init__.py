"""*Tensors → one number to minimise; and plug-ins, which bring such numbers to any backbone.*"""

from alignrec.losses.bma import behaviour_modal_alignment
from alignrec.losses.cluster_alignment import Sinkhorn, sinkhorn_codes, swapped_prediction
from alignrec.losses.contrastive import (
    cosine_alignment,
    cosine_alignment_rows,
    info_nce,
    info_nce_against,
    info_nce_rows,
)
from alignrec.losses.plugin import Needs, Plugin, PluginInputs
from alignrec.losses.ranking import (
    bpr_loss,
    bpr_loss_rows,
    embedding_norm,
    embedding_norm_rows,
    squared_norm,
    squared_norm_rows,
)
from alignrec.losses.registry import PLUGINS, create_plugin, plugin_class, register_plugin
from alignrec.losses.similarity import similarity_regularizer, similarity_regularizer_rows
from alignrec.losses.uniformity import uniformity

__all__ = [
    "PLUGINS",
    "Needs",
    "Plugin",
    "PluginInputs",
    "Sinkhorn",
    "behaviour_modal_alignment",
    "bpr_loss",
    "bpr_loss_rows",
    "cosine_alignment",
    "cosine_alignment_rows",
    "create_plugin",
    "embedding_norm",
    "embedding_norm_rows",
    "info_nce",
    "info_nce_against",
    "info_nce_rows",
    "plugin_class",
    "register_plugin",
    "similarity_regularizer",
    "similarity_regularizer_rows",
    "sinkhorn_codes",
    "squared_norm",
    "squared_norm_rows",
    "swapped_prediction",
    "uniformity",
]
