import numpy as np
import torch
from scipy import sparse

from alignrec.models import create_model
from alignrec.types import TrainData


def test_one_layer_by_hand() -> None:
    """Two users share item 0, user 1 alone has item 1: degrees 1, 2 and 2, 1."""
    data = TrainData(sparse.csr_array(np.array([[1, 0], [1, 1]], dtype=np.float32)))
    model = create_model("lightgcn", data, torch.Generator(), {"embedding_size": 1, "n_layers": 1})
    with torch.no_grad():
        model.embedding.copy_(torch.tensor([[1.0], [2.0], [3.0], [4.0]]))  # users 0, 1, items 0, 1
    final = model.represent().final
    root2 = 2**0.5
    users = [(1 + 3 / root2) / 2, (2 + 3 / 2 + 4 / root2) / 2]
    items = [(3 + 1 / root2 + 2 / 2) / 2, (4 + 2 / root2) / 2]
    torch.testing.assert_close(final.users[:, 0], torch.tensor(users))
    torch.testing.assert_close(final.items[:, 0], torch.tensor(items))


def test_no_layers_is_matrix_factorisation() -> None:
    data = TrainData(sparse.csr_array(np.eye(3, dtype=np.float32)))
    model = create_model("lightgcn", data, torch.Generator(), {"embedding_size": 2, "n_layers": 0})
    final = model.represent().final
    assert torch.equal(torch.cat([final.users, final.items]), model.embedding)
