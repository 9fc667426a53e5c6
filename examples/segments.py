"""Where does content help? Test recall of runs on one dataset, by segment: python examples/segments.py RUN RUN..."""

import sys

from rich.console import Console
from rich.table import Table

from alignrec import Run
from alignrec.evaluation import evaluate_segments
from alignrec.ranking import top_k

METRIC = "recall@20"
runs = [Run.open(path) for path in sys.argv[1:]]
dataset = runs[0].dataset()
train, test = dataset.split("train"), dataset.split("test")
columns = []
for run in runs:
    embeddings = run.embeddings()
    ranking = top_k(embeddings.users, embeddings.items, 20, exclude=train)
    columns.append(evaluate_segments(ranking, test, train, [METRIC]))

table = Table("segment", "users", *(run.path.name for run in runs), title=f"test {METRIC} on {dataset.name}")
for segment, report in columns[0].items():
    table.add_row(segment, str(report.n_users), *(f"{column[segment][METRIC]:.4f}" for column in columns))
Console(width=120).print(table)
