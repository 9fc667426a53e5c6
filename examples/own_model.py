"""A model of one's own, trained by its name: python examples/own_model.py DATASET FEATURES RUN."""

import sys

from torch.nn import Parameter

from alignrec import train
from alignrec.graphs import knn_operator
from alignrec.losses import bpr_loss
from alignrec.models import Backbone, batch_rows, register_model, xavier_uniform_table
from alignrec.ops import spmm
from alignrec.settings import Settings
from alignrec.types import Embeddings, Representations


class SimilarItems(Backbone):
    """Matrix factorisation in which an item shares what it learns with the items that look like it."""

    class Config(Settings):
        size: int = 32  # length of a user's and an item's vector
        n_neighbors: int = 10  # items whose vectors are added to an item's own

    training_defaults, needs_features = {"lr": 0.01}, True  # whoever trains may set another lr

    def __init__(self, config, data, rng):
        super().__init__(config, data)
        self.users, self.items = (Parameter(xavier_uniform_table(n, config.size, rng)) for n in data.interactions.shape)
        self.neighbors = knn_operator(next(iter(data.features.values())), config.n_neighbors)  # (I, I)

    def represent(self):
        return Representations(Embeddings(self.users, self.items + spmm(self.neighbors, self.items)))

    def losses(self, reps, batch):
        users, taken, sampled = batch_rows(reps.final, batch)  # (B, d) each
        return {"bpr": bpr_loss((users * taken).sum(1), (users * sampled).sum(1))}


register_model("similar-items", SimilarItems)
if __name__ == "__main__":
    print(train(sys.argv[1], model="similar-items", features=[sys.argv[2]], out=sys.argv[3]).report()["valid"])
