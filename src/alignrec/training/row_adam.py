"""Adam for tables whose gradient is kept as factors, and does to a table what Adam does to the whole of it.

The gradient of a projected table of features is a product of two small matrices, and where a step reads 3,000 of
7,000 rows there is none for the others, yet Adam moves them too: their momentum goes on. Left to PyTorch, that means a
gradient as large as the table, to fill with zeros, to multiply out, to write and to read again. Here it is multiplied
out a few rows of the table at a time, in a small buffer that stays in the processor's cache. This is not a lazy or
sparse Adam, which leaves the rows that were not read alone and is another method: the weights are those of
`torch.optim.Adam`.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from alignrec.models.projection import FeatureProjection
from alignrec.ops import FactoredGradient, matmul

__all__ = ["RowAdam"]

_TILE_NUMBERS = 1 << 19  # 2 MB of float32; with smaller tiles the calls cost more than the memory


class RowAdam(torch.optim.Adam):
    """`torch.optim.Adam(fused=True)` for parameters on the CPU, tables of projected features among them.

    From `zero_grad` to `step` backward passes give it the gradients of these tables as factors; their `grad` stays
    None, unless something else read them as well. At other times they have gradients as any parameter.

    Args:
        parameters: all that is trained.
        projections: those whose tables are among `parameters`.
        settings: of `torch.optim.Adam`.
    """

    def __init__(  # Any: as torch has it
        self, parameters: Any, projections: Iterable[FeatureProjection], **settings: Any
    ) -> None:
        super().__init__(parameters, fused=True, **settings)
        self._projections = {part.table: part for part in projections}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        super().zero_grad(set_to_none)
        for part in self._projections.values():
            part.gradients = []

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # Any: as torch has it
        """One step of all parameters that have a gradient."""
        if closure is not None:
            raise ValueError("RowAdam takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:  # tables first, while the weights in their factors are as they were
                gradients = self._taken(parameter)
                if gradients and parameter.grad is None:
                    self._step_table(group, parameter, gradients)
                elif gradients:
                    parameter.grad = sum((gradient.dense(parameter) for gradient in gradients), parameter.grad)
        super().step()

    def _taken(self, parameter: Tensor) -> list[FactoredGradient]:
        part = self._projections.get(parameter)
        taken: list[FactoredGradient] = []
        if part is not None and part.gradients is not None:
            taken, part.gradients = part.gradients, None
        return taken

    @torch.no_grad()
    def _step_table(  # Any: Adam's settings
        self, group: dict[str, Any], parameter: Tensor, gradients: list[FactoredGradient]
    ) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        settings = {name: group[name] for name in ("lr", "weight_decay", "eps")}
        settings["beta1"], settings["beta2"] = group["betas"]
        height = max(1, _TILE_NUMBERS // parameter[0].numel())
        spread = [_ByTile(gradient, height, parameter) for gradient in gradients]
        tiles = zip(*(table.split(height) for table in (parameter, state["exp_avg"], state["exp_avg_sq"])), strict=True)
        for number, (weights, mean, square) in enumerate(tiles):
            part = spread[0].tile(number)
            for other in spread[1:]:
                part = part + other.tile(number)
            # What `torch.optim.adam.adam(fused=True)` calls, without its bookkeeping, which is a good part of a tile
            torch._fused_adam_(
                [weights], [part], [mean], [square], [], [state["step"]], amsgrad=False, maximize=False, **settings
            )


class _ByTile:
    """A factored gradient of a table (n, D), multiplied out `height` rows at a time."""

    def __init__(self, gradient: FactoredGradient, height: int, table: Tensor) -> None:
        self._left, self._right, rows = gradient.left, gradient.right, gradient.rows
        self._product, self._spread = table.new_empty(height, table.shape[1]), None
        starts = torch.arange(0, len(table) + height, height).clamp_(max=len(table))  # of tiles, and the end
        self._heights, self._bounds = starts.diff().tolist(), starts.tolist()
        if rows is None:
            return
        if not bool((rows[1:] > rows[:-1]).all()):  # in any order, or a row more than once
            rows, inverse = torch.unique(rows, return_inverse=True)
            self._left = self._left.new_zeros(len(rows), self._left.shape[1]).index_add_(0, inverse, self._left)
        self._spread, self._places = torch.empty_like(self._product), rows % height
        self._bounds = torch.searchsorted(rows, starts).tolist()

    def tile(self, number: int) -> Tensor:
        """Rows from `number` times the height on, in a buffer that the next call writes to again."""
        rows = slice(self._bounds[number], self._bounds[number + 1])
        product = matmul(self._left[rows], self._right, self._product[: rows.stop - rows.start])
        if self._spread is None:
            return product
        return self._spread[: self._heights[number]].zero_().index_copy_(0, self._places[rows], product)
