"""A device for tests without one: its tensors lie on the CPU, and refuse what an accelerator refuses.

A tensor `There` says that it is on `DEVICE`, which is not the CPU, so that code takes the way it takes on CUDA. An
operation that mixes it with a CPU tensor, draws for it from a CPU generator or reads it as an array fails, as it
would on CUDA, and what it computes can be compared with the CPU. Kernels, streams and speed are not imitated.

`DEVICE` is PyTorch's `meta`, the one name besides `cpu` that every build accepts. The imitation holds in the thread
that entered it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.optim import optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["DEVICE", "another_device"]

DEVICE = torch.device("meta")

_aten = torch.ops.aten
_INDEXING = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}
_MOVES = {_aten.copy_.default, _aten._to_copy.default}
_NOT_AN_ARRAY = "can't convert a tensor on another device to numpy; copy it to the CPU first"


class There(Tensor):
    """A tensor on `DEVICE`; `here` holds its numbers."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "There":
        layout = {"strides": here.stride(), "storage_offset": here.storage_offset()}
        made: There = Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            dtype=here.dtype,
            layout=here.layout,
            device=here.device,
            dispatch_device=True,
            **(layout if here.layout is torch.strided else {}),
        )
        made.here = here.detach()
        return made

    @classmethod
    def __torch_function__(cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func == Tensor.is_meta.__get__:  # the name of the device is borrowed, not its emptiness
            return False
        if func is Tensor.numpy and kwargs.get("force"):
            return args[0].here.numpy(force=True)
        if func in (Tensor.numpy, Tensor.__array__):
            raise TypeError(_NOT_AN_ARRAY)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Imitation(TorchDispatchMode):
    """Makes tensors that are asked for on `DEVICE`."""

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def another_device() -> Iterator[torch.device]:
    """Within the block, in this thread, tensors and modules can be moved to `DEVICE`, which is handed over."""
    fused, autocast = [*optimizer._get_fused_kernels_supported_devices(), DEVICE.type], torch.autocast
    overwrote = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)

    def autocast_here(device_type: str, *args: Any, **kwargs: Any) -> Any:
        return autocast("cpu" if device_type == DEVICE.type else device_type, *args, **kwargs)

    try:
        with (
            mock.patch.object(optimizer, "_get_fused_kernels_supported_devices", return_value=fused),
            mock.patch.object(torch, "autocast", autocast_here),
            _Imitation(),
        ):
            yield DEVICE
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrote)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute on the CPU; the result is where the operands are, or where it was asked to be."""
    if func is torch.ops.prim.device.default:
        return DEVICE
    leaves, goes_there = tree_leaves((args, kwargs)), _goes_there(func, args, kwargs)
    _check_places(func, leaves)
    if goes_there and any(isinstance(leaf, torch.Generator) and leaf.device.type == "cpu" for leaf in leaves):
        raise RuntimeError(f"{func}: expected a generator of {DEVICE}, not one of the CPU")
    if kwargs.get("device") is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    result = func(*tree_map(_here, args), **tree_map(_here, kwargs))
    if result is not None and _is_in_place(func):
        return args[0]
    return tree_map(_there, result) if goes_there else result


def _goes_there(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> bool:
    asked = kwargs.get("device")
    if asked is not None:
        return torch.device(asked).type == DEVICE.type
    if func is _aten.copy_.default:
        return isinstance(args[0], There)
    return any(isinstance(leaf, There) for leaf in tree_leaves((args, kwargs)))


def _check_places(func: Any, leaves: list[Any]) -> None:
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, There)]
    if not there or func in _MOVES:
        return
    if func in _INDEXING:  # a table there may be indexed from here, not the other way round
        if not isinstance(tensors[0], There):
            raise RuntimeError(f"{func}: indices should be on the CPU or on the device of the indexed tensor, the CPU")
    elif any(tensor.dim() for tensor in tensors if not isinstance(tensor, There)):
        shapes = [tuple(tensor.shape) for tensor in tensors]
        raise RuntimeError(f"{func}: expected all tensors to be on the same device; their shapes: {shapes}")


def _is_in_place(func: Any) -> bool:
    name = func.overloadpacket.__name__
    return bool(name.endswith("_") and not name.endswith("__"))


def _here(value: Any) -> Any:
    return value.here if isinstance(value, There) else value


def _there(value: Any) -> Any:
    return There(value) if isinstance(value, Tensor) and not isinstance(value, There) else value
