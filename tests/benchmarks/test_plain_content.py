import numpy as np
import pytest
import torch
from checkerboard import with_modalities

from alignrec.models import create_model
from alignrec.types import Batch
from benchmarks import plain, plain_content


@pytest.mark.parametrize("name", ["vbpr", "bm3", "freedom", "mgcn", "lattice"])
def test_the_plain_version_has_the_loss_of_ours(name: str) -> None:
    data = with_modalities(6, 12)
    settings = {"bm3": {"dropout": 0.0}, "vbpr": {}, "freedom": {}}.get(name, {"l2_batch_size": plain.BATCH})
    ours = create_model(name, data, torch.Generator().manual_seed(0), settings)
    ours.start_epoch(torch.Generator().manual_seed(1))
    theirs = getattr(plain_content, name.upper())(data, ours)
    drawn = np.random.default_rng(0).integers(0, 30, (3, 50))
    batch = Batch(*(torch.from_numpy(part) for part in drawn))
    expected = theirs.loss(batch.users, batch.positives, batch.negatives)
    found = torch.stack(list(ours.losses(*ours.represent_batch(batch)).values())).sum()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
