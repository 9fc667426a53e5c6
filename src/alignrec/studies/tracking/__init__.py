"""*A run while it trains → TensorBoard, MLflow, Weights & Biases.*"""

from alignrec.studies.tracking.sink import TrackingError
from alignrec.studies.tracking.tracker import TRACKERS, Tracker, tracker_places

__all__ = ["TRACKERS", "Tracker", "TrackingError", "tracker_places"]
