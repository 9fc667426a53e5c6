"""Rows scaled to length 1, whose gradient is zero where a row is: what is zero points nowhere.

The usual x / max(‖x‖, ε) multiplies what arrives at a row of zeros by 1/ε, and once more where it is scaled again: it
fills Adam's second moment for good. Such rows do occur: an item without a picture may have zeros for features, and a
projection whose bias starts at zero keeps them.
"""

import torch
from torch import Tensor

__all__ = ["SMALLEST_NORM", "unit_rows", "without_zero_rows"]

SMALLEST_NORM = 1e-12
"""Rows that are not longer count as zero."""


def unit_rows(table: Tensor) -> Tensor:
    """Every row x of a table (n, d) as x / ‖x‖; rows of zeros stay zero and get no gradient."""
    norm = torch.linalg.vector_norm(table, dim=1, keepdim=True)
    unit: Tensor = table / norm.masked_fill(norm <= SMALLEST_NORM, torch.inf)
    return unit


def without_zero_rows(table: Tensor) -> Tensor:
    """The same table (n, d), through which rows of zeros get no gradient."""
    norm = torch.linalg.vector_norm(table.detach(), dim=1, keepdim=True)
    return torch.where(norm <= SMALLEST_NORM, table.detach(), table)
