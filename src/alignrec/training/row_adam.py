"""Adam that takes the gradient of a few rows of a table, and does to the table what Adam does to the whole of it.

A step that reads 3,000 of 7,000 rows of trainable features has no gradient for the others, yet Adam moves them too: its
momentum goes on. Left to PyTorch, that means a table of zeros to fill, to add the rows to, and to read again. Here the
gradient stays the rows that there are, and is spread over a small buffer, a few rows of the table at a time, which
stays in the processor's cache. This is not a lazy or sparse Adam, which leaves the other rows alone and is another
method: the weights are those of `torch.optim.Adam`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

__all__ = ["RowAdam"]

_TILE_NUMBERS = 1 << 20  # 4 MB of float32; with smaller tiles the calls cost more than the memory


class RowAdam(torch.optim.Adam):
    """`torch.optim.Adam(fused=True)` for parameters on the CPU some of which have sparse gradients, rows of a table."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # Any: as torch has it
        """One step of all parameters that have a gradient."""
        if closure is not None:
            raise ValueError("RowAdam takes no closure")
        of_rows = [
            (group, parameter, parameter.grad)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None and parameter.grad.is_sparse
        ]
        for _, parameter, _ in of_rows:
            parameter.grad = None
        super().step()
        for group, parameter, gradient in of_rows:
            self._step_rows(group, parameter, gradient)
            parameter.grad = gradient

    @torch.no_grad()
    def _step_rows(self, group: dict[str, Any], parameter: Tensor, gradient: Tensor) -> None:  # Any: Adam's settings
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        rows, values = _ordered(gradient)
        height = max(1, _TILE_NUMBERS // parameter[0].numel())
        bounds = torch.searchsorted(rows, torch.arange(0, len(parameter) + height, height)).tolist()
        places, buffer = rows % height, parameter.new_empty(height, *parameter.shape[1:])
        tiles = zip(*(table.split(height) for table in (parameter, state["exp_avg"], state["exp_avg_sq"])), strict=True)
        for (weights, mean, square), first, last in zip(tiles, bounds[:-1], bounds[1:], strict=True):
            part = buffer[: len(weights)].zero_()
            part.index_copy_(0, places[first:last], values[first:last])
            adam(
                [weights],
                [part],
                [mean],
                [square],
                [],
                [state["step"].clone()],  # which the call advances
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
                fused=True,
            )
        state["step"] += 1


def _ordered(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Row numbers, rising, and their gradients; sums where a row occurs more than once."""
    rows, values = gradient._indices()[0], gradient._values()
    if bool((rows[1:] > rows[:-1]).all()):
        return rows, values
    gradient = gradient.coalesce()
    return gradient.indices()[0], gradient.values()
