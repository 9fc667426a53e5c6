"""What a patch looks like in 38 numbers: its mean colour, the spread of its colours, where its edges run.

Edges are histograms of oriented gradients (Dalal and Triggs 2005) without sign: of the brightness, in 8 directions,
in each quarter of the patch. A bin is the square root of the mean gradient length that falls to it (the Hellinger
map), so that a faint outline counts beside a hard one, and a flat patch is near zero in all of them. A gradient
between two directions is shared by both; the first direction is a gradient along a row, so a vertical edge.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from alignrec.encoders.pixel_values import patches_per_side, unit_values
from alignrec.errors import UsageError

__all__ = ["COLOURS", "DESCRIPTOR_SIZE", "EDGES", "SPREADS", "describe_patches", "flat_patches"]

_DIRECTIONS = 8
_CELLS = 2  # a side
COLOURS = slice(0, 3)
SPREADS = slice(3, 6)
EDGES = slice(6, 6 + _DIRECTIONS * _CELLS**2)
DESCRIPTOR_SIZE = EDGES.stop
_LUMINANCE = (0.299, 0.587, 0.114)


def describe_patches(images: Tensor, patch_size: int) -> Tensor:
    """Descriptors of all patches, row by row: (B, 3, H, W) bytes or [0, 1] → (B, g·g, 38) float32.

    Columns `COLOURS` are the mean red, green and blue, `SPREADS` their standard deviations, `EDGES` the quarter
    (upper left, upper right, lower left, lower right) by the direction. Gradients are taken over the whole image.

    Raises:
        UsageError: the image is not a square of patches, or the patch has no quarters.
    """
    if patch_size < 2 or patch_size % _CELLS:
        raise UsageError(f"a patch of {patch_size} pixels has no quarters; give an even number from 2")
    values = unit_values(images).float()
    grid = patches_per_side(values.shape[2], values.shape[3], patch_size)
    mean = functional.avg_pool2d(values, patch_size)  # (B, 3, g, g)
    spread = functional.avg_pool2d((values - _spread_out(mean, patch_size)).square_(), patch_size).sqrt_()
    colours = torch.cat([mean, spread], 1).flatten(2).transpose(1, 2)  # (B, g², 6)
    cells = functional.avg_pool2d(_directed_gradients(values), patch_size // _CELLS)  # (B, 8, 2g, 2g)
    cells = cells.sqrt_().view(len(values), _DIRECTIONS, grid, _CELLS, grid, _CELLS)
    edges = cells.permute(0, 2, 4, 3, 5, 1).reshape(len(values), grid * grid, -1)
    return torch.cat([colours, edges], 2)


def flat_patches(descriptors: Tensor, below: float) -> Tensor:
    """Which patches show next to nothing: (…, 38) → (…) bool, no colour's deviation reaches `below`."""
    return descriptors[..., SPREADS].amax(-1) < below


def _spread_out(mean: Tensor, patch_size: int) -> Tensor:
    return mean.repeat_interleave(patch_size, 2).repeat_interleave(patch_size, 3)


def _directed_gradients(values: Tensor) -> Tensor:
    """Gradient lengths shared out to the two nearest directions, (B, 3, H, W) → (B, 8, H, W)."""
    weights = torch.tensor(_LUMINANCE, device=values.device).view(1, 3, 1, 1)
    brightness = (values * weights).sum(1, keepdim=True)
    padded = functional.pad(brightness, (1, 1, 1, 1), mode="replicate")
    across = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2
    down = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / 2
    length = torch.hypot(across, down)
    step = torch.atan2(down, across).remainder_(math.pi) * (_DIRECTIONS / math.pi)  # 0 … 8, where 8 is 0 again
    directions = torch.arange(_DIRECTIONS, device=values.device).view(1, -1, 1, 1)
    apart = (step - directions).abs()
    apart = torch.minimum(apart, _DIRECTIONS - apart)
    return (1 - apart).clamp_(min=0).mul_(length)
