"""Between the bytes of pictures and the numbers that networks read."""

import torch
from torch import Tensor

from alignrec.errors import UsageError

__all__ = ["patches_per_side", "standardise", "unit_values"]


def unit_values(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) as float values in [0, 1]: bytes are divided by 255, floats are returned as they are.

    Raises:
        UsageError: not (B, 3, H, W), or neither bytes nor floats.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise UsageError(f"images of shape {tuple(images.shape)}; give (images, 3, height, width)")
    if images.dtype == torch.uint8:
        return images.float() / 255
    if images.is_floating_point():
        return images
    raise UsageError(f"images of type {images.dtype}; give uint8, or floats in [0, 1]")


def standardise(images: Tensor) -> Tensor:
    """What BEiT-3 and VQ-KD read: bytes, or floats in [0, 1], (B, 3, H, W) → [-1, 1], mean and deviation 0.5."""
    return unit_values(images) * 2 - 1


def patches_per_side(height: int, width: int, patch_size: int) -> int:
    """g, where the image is a square of g x g patches.

    Raises:
        UsageError: the image is not a square, or its side is no multiple of the patch.
    """
    if height != width or height % patch_size or height < patch_size:
        raise UsageError(f"an image of {height} x {width} pixels is no square of {patch_size} x {patch_size} patches")
    return height // patch_size
