"""*A model and batches → a trained model: one loop, checkpoints, early stopping.*"""

from alignrec.training.encoder import MaskingSettings, PretrainingSettings, pretrain
from alignrec.training.journal import RunFiles
from alignrec.training.loop import FitResult, Job, LoopSettings, run_loop
from alignrec.training.objective import Objective, attach_plugins
from alignrec.training.recommender import Observer, TrainingSettings, embed, fit
from alignrec.training.row_adam import RowAdam

__all__ = [
    "FitResult",
    "Job",
    "LoopSettings",
    "MaskingSettings",
    "Objective",
    "Observer",
    "PretrainingSettings",
    "RowAdam",
    "RunFiles",
    "TrainingSettings",
    "attach_plugins",
    "embed",
    "fit",
    "pretrain",
    "run_loop",
]
