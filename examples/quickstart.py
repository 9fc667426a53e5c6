"""From a shop that draws itself to recommendations, in Python: python examples/quickstart.py FOLDER [ITEMS]."""

import sys
from pathlib import Path

import alignrec
from alignrec.data import ShopSettings, draw_shop
from alignrec.encoders import extract_builtin
from alignrec.features import save_features

folder = Path(sys.argv[1])
size = int(sys.argv[2]) if len(sys.argv) > 2 else 500
dataset = draw_shop(folder / "shop", settings=ShopSettings(items=size, users=size), seed=1)
for encoder in ("pixels", "tfidf"):
    save_features(folder / "shop" / "features", extract_builtin(encoder, dataset))

for table in alignrec.probe(dataset, ["pixels", "tfidf", "pixels+tfidf"]).results:
    print(f"{table.protocol:10} {table.features:14} recall@20 {table.recall(20):.3f} (chance {table.chance(20):.3f})")

run = alignrec.train(
    dataset,
    model="alignrec",
    features=["pixels+tfidf"],
    settings={"training": {"epochs": 20, "lr": 0.005}},
    out=folder / "run",
    seed=1,
)
reports = alignrec.evaluate(run)
print(
    f"test recall@20 {reports.model['test']['recall@20']:.3f}, popularity {reports.popularity['test']['recall@20']:.3f}"
)
print(alignrec.Recommender.load(run.path).recommend([dataset.users.ids[0]], k=5))
