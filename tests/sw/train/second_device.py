"""A simulated GPU: tensors that hold their values on the CPU and refuse to meet those of the CPU.

Its rules are those of CUDA: operands share a device, except that scalars of the CPU may join, and
indices may lie on the CPU. What it cannot show: speed, memory, other rounding, missing kernels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "simulated"
COPIES = ("aten._to_copy", "aten.copy_", "aten.set_")
INDEXED = ("aten.index", "aten._unsafe_index", "aten._index_put_impl_")


class _Held(Tensor):
    """A tensor of the simulated GPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "_Held":
        return torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device=torch.device(NAME, 0)
        )

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Makes new tensors on the simulated GPU where a call names it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _is_gpu(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    name = str(func)
    given = kwargs.get("device")
    there = any(isinstance(tensor, _Held) for tensor in tensors)
    _check_meeting(name, args, tensors, there)
    to_gpu = _is_gpu(given) if given is not None else there
    inner = dict(kwargs)
    if given is not None:
        inner["device"] = "cpu"
    inner_args, inner = tree_map(_open, (args, inner))
    result = func(*inner_args, **inner)
    if name.startswith("aten.copy_") or (
        func._schema.is_mutable and not name.startswith("aten._to")
    ):
        opened = {id(_open(tensor)): tensor for tensor in tensors}
        return tree_map(lambda leaf: opened.get(id(leaf), _close(leaf, to_gpu)), result)
    return tree_map(lambda leaf: _close(leaf, to_gpu), result)


def _check_meeting(name: str, args: Any, tensors: list[Tensor], there: bool) -> None:
    """Refuse tensors of both devices in one call."""
    if not there or name.startswith(COPIES):
        return
    checked = tensors
    if name.startswith(INDEXED):
        if isinstance(args[0], _Held):
            checked = [
                args[0],
                *(leaf for leaf in tree_leaves(args[2:]) if isinstance(leaf, Tensor)),
            ]
        else:
            raise RuntimeError(f"{name}: indices of the GPU for a tensor of the CPU")
    away = [t for t in checked if not isinstance(t, _Held) and t.ndim]
    if away:
        raise RuntimeError(f"{name}: expected all tensors on one device, got both")


def _open(leaf: Any) -> Any:
    return leaf.held if isinstance(leaf, _Held) else leaf


def _close(leaf: Any, to_gpu: bool) -> Any:
    return _Held(leaf) if to_gpu and isinstance(leaf, Tensor) else leaf


@contextmanager
def simulated_gpu() -> Iterator[torch.device]:
    """Let PyTorch know the device for the block."""
    register()
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a subclass has no storage
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=) reaches the mode
    try:
        with _Factories():
            yield torch.device(NAME, 0)
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


@cache
def register() -> None:
    """Tell PyTorch of the device, once, before any backward pass."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Backend())


class _Backend(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]
