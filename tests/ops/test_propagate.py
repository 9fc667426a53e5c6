import pytest
import torch
from scipy import sparse

from alignrec.ops import SparseOperator, propagate

DENSE = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0], [0.0, 0.5, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("n_layers", [0, 1, 3])
@pytest.mark.parametrize("rows", [None, [2, 0, 2]])
def test_it_is_the_matrix_power_with_its_gradient(n_layers, rows):
    operator = SparseOperator.from_scipy(sparse.csr_array(DENSE.numpy())).double()
    x, y = (torch.arange(6, dtype=torch.float64).view(3, 2).requires_grad_() for _ in range(2))
    wanted = None if rows is None else torch.tensor(rows)
    found, expected = propagate(operator, x, n_layers, wanted), torch.linalg.matrix_power(DENSE, n_layers) @ y
    expected = expected if rows is None else expected[wanted]
    torch.testing.assert_close(found, expected)
    weights = torch.arange(1.0, found.numel() + 1, dtype=torch.float64).view_as(found)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
