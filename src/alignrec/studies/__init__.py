"""*Datasets, models, seeds → runs and comparisons.*"""

from alignrec.studies.evaluation import evaluate
from alignrec.studies.run_folder import Run, RunPlan
from alignrec.studies.training import TrainingStoppedError, train

__all__ = ["Run", "RunPlan", "TrainingStoppedError", "evaluate", "train"]
