"""*Datasets, models, seeds → runs and comparisons.*"""

from alignrec.studies.compare import Comparison, compare
from alignrec.studies.encoder_start import beginning_lines
from alignrec.studies.evaluation import RunReports, evaluate
from alignrec.studies.extraction import Extraction, extract_features, run_extraction
from alignrec.studies.pretraining import pretrain_encoder
from alignrec.studies.pretraining_log import pretraining_table
from alignrec.studies.pretraining_plan import RECIPES, CatalogueSettings, StartSettings
from alignrec.studies.retraining import retrain
from alignrec.studies.run_folder import Run, RunPlan
from alignrec.studies.tracking.sink import TrackingError
from alignrec.studies.tracking.tracker import tracker_places
from alignrec.studies.training import TrainingStoppedError, train
from alignrec.studies.tuning.result import TuneResult
from alignrec.studies.tuning.tune import tune

__all__ = [
    "RECIPES",
    "CatalogueSettings",
    "Comparison",
    "Extraction",
    "Run",
    "RunPlan",
    "RunReports",
    "StartSettings",
    "TrackingError",
    "TrainingStoppedError",
    "TuneResult",
    "beginning_lines",
    "compare",
    "evaluate",
    "extract_features",
    "pretrain_encoder",
    "pretraining_table",
    "retrain",
    "run_extraction",
    "tracker_places",
    "train",
    "tune",
]
