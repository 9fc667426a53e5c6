import numpy as np
import pytest
import torch
from checkerboard import with_modalities

from alignrec.types import Batch
from benchmarks import content_models, plain

SETTINGS = {
    "mgcn": {"l2_batch_size": plain.BATCH},
    "lattice": {"l2_batch_size": plain.BATCH},
    "fettle": {"user_item_prototypes": 12, "content_prototypes": 12},
}


@pytest.mark.parametrize("name", ["vbpr", "bm3", "freedom", "mgcn", "lattice", "lgmrec", "fettle"])
def test_the_plain_version_has_the_loss_of_ours(name: str) -> None:
    ours, theirs = content_models.sides(name, with_modalities(6, 12), SETTINGS.get(name))
    drawn = np.random.default_rng(0).integers(0, 30, (3, 50))
    batch = Batch(*(torch.from_numpy(part) for part in drawn))
    expected = theirs.loss(batch.users, batch.positives, batch.negatives)
    found = torch.stack(list(ours(batch).values())).sum()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_training_step_gives_the_loss_before_it_and_lowers_it() -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    step = content_models.train(lambda _batch: weight.square().sum(), torch.optim.Adam([weight], lr=0.1))
    losses = [step(Batch(*torch.zeros(3, 1, dtype=torch.int64))) for _ in range(3)]
    assert losses[0] == 9.0
    assert losses[0] > losses[1] > losses[2]
