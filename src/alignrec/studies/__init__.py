"""*Datasets, models, seeds → runs and comparisons.*"""

from alignrec.studies.evaluation import RunReports, evaluate
from alignrec.studies.run_folder import Run, RunPlan
from alignrec.studies.training import TrainingStoppedError, train

__all__ = ["Run", "RunPlan", "RunReports", "TrainingStoppedError", "evaluate", "train"]
