"""Lists made elsewhere, measured as ours: python examples/own_ranking.py DATASET LISTS.csv (user_id,item_id,rank)."""

import sys

import numpy as np
import polars as pl
import torch

from alignrec import Dataset
from alignrec.evaluation import evaluate
from alignrec.types import Ranking

dataset = Dataset.load(sys.argv[1])
lists = pl.read_csv(sys.argv[2], schema_overrides={"user_id": pl.String, "item_id": pl.String})

users = [dataset.users.index(user) for user in lists["user_id"]]
places = lists["rank"].to_numpy() - 1
items = np.full((dataset.n_users, places.max() + 1), -1)  # (U, k); -1 is an empty place, which is never a hit
items[users, places] = [dataset.items.index(item) for item in lists["item_id"]]

ranking = Ranking(torch.from_numpy(items), torch.zeros(items.shape))  # scores do not matter once there is an order
report = evaluate(ranking, dataset.split("test"), ["recall@20", "ndcg@20"], train=dataset.split("train"))
for name in ("recall@20", "ndcg@20", "coverage@20"):
    print(f"{name} {report[name]:.4f}")
