"""*Rankings and truth → metrics per user and their means.*"""

from alignrec.evaluation.beyond import beyond_accuracy
from alignrec.evaluation.evaluate import BEYOND_CUTOFF, evaluate, evaluate_embeddings, evaluate_splits
from alignrec.evaluation.metrics import DEFAULT_CUTOFFS, DEFAULT_METRICS, METRIC_KINDS, deepest_cutoff, parse_metrics
from alignrec.evaluation.report import Report, per_user_frame, report_table, write_per_user
from alignrec.evaluation.segments import evaluate_segments

__all__ = [
    "BEYOND_CUTOFF",
    "DEFAULT_CUTOFFS",
    "DEFAULT_METRICS",
    "METRIC_KINDS",
    "Report",
    "beyond_accuracy",
    "deepest_cutoff",
    "evaluate",
    "evaluate_embeddings",
    "evaluate_segments",
    "evaluate_splits",
    "parse_metrics",
    "per_user_frame",
    "report_table",
    "write_per_user",
]
