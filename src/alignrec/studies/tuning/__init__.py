"""*A model and the values its settings may take → trials, chosen on validation.*"""

from alignrec.studies.tuning.result import TuneResult
from alignrec.studies.tuning.tune import tune

__all__ = ["TuneResult", "tune"]
