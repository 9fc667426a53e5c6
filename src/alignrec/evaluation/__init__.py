"""*Rankings and truth → metrics per user and their means.*"""

from alignrec.evaluation.beyond import BEYOND_KINDS, beyond_accuracy, divide_metrics, is_beyond
from alignrec.evaluation.evaluate import BEYOND_CUTOFF, evaluate, evaluate_embeddings, evaluate_splits
from alignrec.evaluation.metrics import DEFAULT_CUTOFFS, DEFAULT_METRICS, METRIC_KINDS, deepest_cutoff, parse_metrics
from alignrec.evaluation.report import Report, per_user_frame, report_table, write_per_user
from alignrec.evaluation.segments import evaluate_segments
from alignrec.evaluation.significance import Significance, holm, paired_t_test, sample_std, seed_t_test, wilcoxon_test

__all__ = [
    "BEYOND_CUTOFF",
    "BEYOND_KINDS",
    "DEFAULT_CUTOFFS",
    "DEFAULT_METRICS",
    "METRIC_KINDS",
    "Report",
    "Significance",
    "beyond_accuracy",
    "deepest_cutoff",
    "divide_metrics",
    "evaluate",
    "evaluate_embeddings",
    "evaluate_segments",
    "evaluate_splits",
    "holm",
    "is_beyond",
    "paired_t_test",
    "parse_metrics",
    "per_user_frame",
    "report_table",
    "sample_std",
    "seed_t_test",
    "wilcoxon_test",
    "write_per_user",
]
