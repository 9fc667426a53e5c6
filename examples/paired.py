"""Is one set of runs better than another, or is it luck? Paired over users: python examples/paired.py A... -- B..."""

import sys

import numpy as np
from scipy import stats

from alignrec import Run
from alignrec.evaluation import evaluate_embeddings

METRIC = "recall@20"
words = sys.argv[1:]
first, second = words[: words.index("--")], words[words.index("--") + 1 :]


def per_user(paths: list[str]) -> tuple[np.ndarray, list[float]]:
    """Every user's test value, mean over the runs (seeds), and each run's mean over users."""
    values = []
    for path in paths:
        run = Run.open(path)
        dataset = run.dataset()
        truth = {"test": dataset.split("test")}
        reports = evaluate_embeddings(run.embeddings(), truth, seen=dataset.split("train"), metrics=[METRIC])
        values.append(reports["test"].values[METRIC])
    return np.mean(values, axis=0), [float(np.mean(v)) for v in values]


(a, means_a), (b, means_b) = per_user(first), per_user(second)
difference = a - b
error = difference.std(ddof=1) / np.sqrt(len(difference))
print(f"A {np.mean(means_a):.4f} {[round(m, 4) for m in means_a]}")
print(f"B {np.mean(means_b):.4f} {[round(m, 4) for m in means_b]}")
print(f"A - B {difference.mean():+.4f}, standard error {error:.4f} over {len(difference)} users")
print(f"paired t-test p = {stats.ttest_rel(a, b).pvalue:.2g}, Wilcoxon p = {stats.wilcoxon(difference).pvalue:.2g}")
