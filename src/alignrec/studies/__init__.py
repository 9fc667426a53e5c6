"""*Datasets, models, seeds → runs and comparisons.*"""

from alignrec.studies.compare import Comparison, compare
from alignrec.studies.encoder_start import beginning_lines
from alignrec.studies.evaluation import RunReports, evaluate
from alignrec.studies.extraction import Extraction, extract_features, run_extraction
from alignrec.studies.pretraining import pretrain_encoder
from alignrec.studies.pretraining_log import pretraining_table
from alignrec.studies.pretraining_plan import RECIPES, CatalogueSettings, StartSettings
from alignrec.studies.run_folder import Run, RunPlan
from alignrec.studies.training import TrainingStoppedError, train

__all__ = [
    "RECIPES",
    "CatalogueSettings",
    "Comparison",
    "Extraction",
    "Run",
    "RunPlan",
    "RunReports",
    "StartSettings",
    "TrainingStoppedError",
    "beginning_lines",
    "compare",
    "evaluate",
    "extract_features",
    "pretrain_encoder",
    "pretraining_table",
    "run_extraction",
    "train",
]
