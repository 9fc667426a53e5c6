"""One epoch of LightGCN and AlignRec beside their plain versions, and the sampling in it, at Baby's size."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from alignrec.data import EpochSampler
from alignrec.models import Backbone, create_model
from alignrec.runtime import numpy_rng, torch_rng
from alignrec.training import TrainingSettings
from alignrec.training.objective import attach_plugins
from alignrec.training.recommender import TripleSource, make_optimizer
from alignrec.types import Batch, TrainData
from benchmarks import baby, plain
from benchmarks.measure import Row, compare, peak_megabytes

__all__ = ["MEASURES"]

_TOLERANCE = 1e-4


def sampling() -> Row:
    """The triples of one epoch."""
    train = baby.interactions()["train"]
    ours, theirs = EpochSampler(train), plain.Sampler(train)
    rng = numpy_rng(0, "benchmark")
    return compare("sampling, one epoch", theirs.epoch, lambda: ours.epoch(rng), goal=13)


def lightgcn_epoch() -> Row:
    """LightGCN with two layers: sampling, forward, backward, Adam."""
    theirs = plain.LightGCN(baby.interactions()["train"])
    ours = _model("lightgcn")
    with torch.no_grad():
        ours.embedding.copy_(torch.cat([theirs.users, theirs.items]))
    return _epochs("LightGCN epoch", theirs, ours, goal=6, repeats=5)


def alignrec_epoch() -> Row:
    """AlignRec with trainable 768-d features and all five terms, in float32."""
    theirs = plain.AlignRec(baby.interactions()["train"], baby.unified_features())
    ours = _model("alignrec")
    with torch.no_grad():
        ours.embedding.copy_(torch.cat([theirs.users, theirs.items]))
        for mine, yours in ((ours.features.linear, theirs.project), (ours.gate, theirs.gate)):
            mine.load_state_dict(yours.state_dict())
    return _epochs("AlignRec epoch, trainable features", theirs, ours, goal=5, repeats=5)


def alignrec_memory() -> Row:
    """What building AlignRec and training it for three steps adds to the peak memory of a process with the data."""
    setup = (
        "from benchmarks import baby, plain, training\n"
        "train, features = baby.interactions()['train'], baby.unified_features()\n"
        "# measured from here\n"
    )
    theirs = peak_megabytes(
        f"{setup}model = plain.AlignRec(train, features)\noptimizer = torch.optim.Adam(model.parameters(), lr=1e-3)\n"
        "sampler = plain.Sampler(train)\nsampler.pairs = sampler.pairs[: 3 * plain.BATCH]\n"
        "plain.train_epoch(model, optimizer, sampler)"
    )
    ours = peak_megabytes(
        f"{setup}from alignrec.runtime import keep_large_buffers\nkeep_large_buffers()\n"
        "step = training.stepper(training._model('alignrec'))\nfor _ in range(3): next(step)"
    )
    return Row("AlignRec training, peak memory added", theirs, ours, 1.25, "MB")


def stepper(model: Backbone[Any], seed: int = 0) -> Iterator[Mapping[str, Tensor]]:  # Any: settings of any model
    """Training steps of `model` without end, epoch after epoch."""
    objective = attach_plugins(model, _data(), {}, seed=seed)
    optimizer = make_optimizer(objective, TrainingSettings(lr=1e-3), torch.device("cpu"))
    source = TripleSource(_data(), plain.BATCH, seed, torch.device("cpu"))
    epoch = 0
    while True:
        epoch += 1
        for batch in source.epoch(epoch):
            optimizer.zero_grad()
            terms = objective(batch)
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
            yield {name: term.detach() for name, term in terms.items()}


def _epochs(name: str, theirs: nn.Module, ours: Backbone[Any], *, goal: float, repeats: int) -> Row:
    _check_equal(theirs, ours)
    sampler = plain.Sampler(baby.interactions()["train"])
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    steps = -(-len(sampler.pairs) // plain.BATCH)
    step = stepper(ours)

    def our_epoch() -> None:
        for _ in range(steps):
            next(step)

    return compare(name, lambda: plain.train_epoch(theirs, optimizer, sampler), our_epoch, goal=goal, repeats=repeats)


def _check_equal(theirs: nn.Module, ours: Backbone[Any]) -> None:
    """Both sides must compute the same loss, or the ratio means nothing."""
    users, positives, negatives = plain.Sampler(baby.interactions()["train"]).epoch()[0]
    batch = Batch(torch.tensor(users), torch.tensor(positives), torch.tensor(negatives))
    expected = float(theirs.loss(batch.users, batch.positives, batch.negatives).detach())
    found = float(sum(term.detach() for term in ours.losses(*ours.represent_batch(batch)).values()))
    if abs(found - expected) > _TOLERANCE * abs(expected):
        raise AssertionError(f"the plain version's loss is {expected}, ours {found}: the comparison would be void")


def _model(name: str) -> Backbone[Any]:
    return create_model(name, _data(), torch_rng(0, "benchmark"))


def _data() -> TrainData:
    return TrainData(baby.interactions()["train"], {"unified": baby.unified_features()})


MEASURES = {
    "sampling": sampling,
    "lightgcn_epoch": lightgcn_epoch,
    "alignrec_epoch": alignrec_epoch,
    "alignrec_memory": alignrec_memory,
}
