"""*Datasets, models, seeds → runs and comparisons.*"""

from alignrec.studies.evaluation import RunReports, evaluate
from alignrec.studies.extraction import extract_features
from alignrec.studies.pretraining import CatalogueSettings, pretrain_encoder
from alignrec.studies.run_folder import Run, RunPlan
from alignrec.studies.training import TrainingStoppedError, train

__all__ = [
    "CatalogueSettings",
    "Run",
    "RunPlan",
    "RunReports",
    "TrainingStoppedError",
    "evaluate",
    "extract_features",
    "pretrain_encoder",
    "train",
]
