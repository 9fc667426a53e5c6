"""A plug-in of one's own on any model: python examples/own_plugin.py DATASET MODEL RUN."""

import sys

import torch

import alignrec
from alignrec.losses import Plugin, register_plugin, uniformity
from alignrec.settings import Settings


class Spread(Plugin):
    """Keeps the vectors of items apart: on a sphere, each far from the others of its batch."""

    class Config(Settings):
        weight: float = 0.01  # of the term in the loss

    def forward(self, reps, batch):
        items = torch.cat([batch.positives, batch.negatives])  # (2B,) rows of the table of items
        return {"items": self.config.weight * uniformity(reps.final.items, items)}


register_plugin("spread", Spread)
if __name__ == "__main__":
    settings = {"plugin.spread": {"weight": 0.1}}
    run = alignrec.train(sys.argv[1], model=sys.argv[2], plugins=["spread"], settings=settings, out=sys.argv[3])
    print(run.report()["valid"])
