from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from scipy import sparse

from alignrec.types import Batch, Embeddings, Ranking, Representations, TrainData


def test_detached_embeddings_share_values_and_carry_no_gradient():
    users = torch.ones(2, 3, requires_grad=True)
    detached = Embeddings(users * 2, users * 3).detach()
    assert not detached.users.requires_grad
    assert not detached.items.requires_grad
    assert torch.equal(detached.items, torch.full((2, 3), 3.0))


def test_a_batch_counts_its_triples():
    batch = Batch(torch.arange(5), torch.arange(5), torch.arange(5))
    assert len(batch) == 5


def test_a_moved_batch_keeps_its_columns_apart():
    batch = Batch(torch.tensor([1]), torch.tensor([2]), torch.tensor([3])).to(torch.device("cpu"))
    assert (int(batch.users), int(batch.positives), int(batch.negatives)) == (1, 2, 3)


def test_k_is_the_length_of_the_lists():
    assert Ranking(torch.zeros(4, 7, dtype=torch.int64), torch.zeros(4, 7)).k == 7


def test_train_data_knows_users_and_items_by_the_shape():
    data = TrainData(sparse.csr_array((3, 5), dtype=np.float32))
    assert (data.n_users, data.n_items) == (3, 5)


def test_train_data_holds_no_other_split():
    assert set(TrainData.__dataclass_fields__) == {"interactions", "features"}


def test_values_that_travel_cannot_be_reassigned():
    reps = Representations(Embeddings(torch.zeros(1, 1), torch.zeros(1, 1)))
    with pytest.raises(FrozenInstanceError):
        reps.final = reps.final


def test_two_representations_do_not_share_their_default_tables():
    one, two = (Representations(Embeddings(torch.zeros(1, 1), torch.zeros(1, 1))) for _ in range(2))
    assert one.content is not two.content
