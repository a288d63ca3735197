"""Calls that are recorded as the simpler calls that they are made of."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

__all__ = ["in_parts", "is_made_of_parts", "sum_of_stack"]

_STACKS = (torch.stack, torch.ops.aten.stack.default)
_Knows = Callable[[Tensor], bool]


def is_made_of_parts(module: nn.Module) -> bool:
    """Whether the calls of a module of PyTorch are recorded, not the module."""
    if type(module) is nn.Upsample:
        return module.mode in _BETWEEN_PIXELS
    if isinstance(module, nn.ConstantPad1d | nn.ConstantPad2d):
        return bool(module.value)
    return isinstance(module, nn.GLU)


def in_parts(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], knows: _Knows
) -> Callable[[], Any] | None:
    """Return simpler calls that compute the same; None for a call that is recorded as it is.

    ``a - b`` becomes ``a + (-b)``, ``torch.add(a, b, alpha=2)`` becomes ``a + b * 2``, padding with
    a number v becomes padding of ``x - v`` with zeros, plus v, ``F.glu(x, 1)`` becomes the product
    of one half of x and the sigmoid of the other, and bilinear interpolation an average of repeated
    pixels. ``x[:, :, -1]``, one of several rows or columns, becomes ``x[:, :, -1:]`` without the
    axis of length 1. ``y.expand_as(x)`` repeats channels and pixels; ``x.max(2)`` is the pair of
    ``x.amax(2)`` and ``x.argmax(2)``.

    Parameters
    ----------
    func : object
        A function or method.
    args, kwargs
        Its arguments.
    knows : callable
        Whether a tensor depends on the images.
    """
    if func is F.pad or func is torch.ops.aten.constant_pad_nd.default:
        return _pad(args, kwargs)
    if func is F.glu:
        return lambda: _gate(*args, **kwargs)
    if func is F.interpolate:
        return _interpolate(args, kwargs)
    name = str(getattr(func, "__name__", ""))
    if name in ("__getitem__", "getitem", "select"):
        return _one_of_several(name, args, kwargs)
    if name in ("expand", "expand_as", "broadcast_to"):
        return _expand(args, kwargs)
    if name == "max":
        return _greatest(args, kwargs)
    if name not in _SUMS:
        return None
    given = dict(zip(("input", "other"), args, strict=False)) | dict(kwargs)
    if len(args) > 2 or not given.keys() <= {"input", "self", "other", "alpha"}:
        return None
    one, other, alpha = given.get("input"), given.get("other"), given.get("alpha", 1)
    if not all(isinstance(tensor, Tensor) and knows(tensor) for tensor in (one, other)):
        return None
    assert isinstance(one, Tensor) and isinstance(other, Tensor)
    if name in ("rsub", "__rsub__"):
        one, other = other, one
    factor = alpha if name.startswith("add") else -alpha
    if factor == 1:
        return None
    add = Tensor.add_ if name.endswith("_") and not name.startswith("__") else torch.add

    def compute() -> Tensor:
        return add(one, torch.neg(other) if factor == -1 else torch.mul(other, factor))

    return compute


_SUMS = {
    *("add", "add_", "sub", "sub_", "subtract", "subtract_", "rsub", "__rsub__"),
}
"""Names of sums and differences."""


def _one_of_several(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Callable[[], Tensor] | None:
    """Split an index with a number of a row or column into a slice and an index without effect."""
    given = dict(zip(("input", "dim", "index"), args, strict=False)) | dict(kwargs)
    if name != "select":
        given = {"input": args[0], "index": args[1]}
    elif given.keys() != {"input", "dim", "index"} or type(given["dim"]) is not int:
        return None
    x, index = given["input"], given["index"]
    if not isinstance(x, Tensor):
        return None
    if name == "select":
        index = (*[slice(None)] * (given["dim"] % x.ndim), index)
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(part is not Ellipsis and type(part) not in (int, slice) for part in parts):
        return None
    if Ellipsis in parts:
        place = parts.index(Ellipsis)
        parts[place : place + 1] = [slice(None)] * (x.ndim + 1 - len(parts))
    chosen = [axis for axis, part in enumerate(parts) if type(part) is int]
    if not any(axis > 1 and x.shape[axis] > 1 for axis in chosen):
        return None
    slices: list[Any] = list(parts)
    numbers: list[Any] = [slice(None)] * len(parts)
    for axis in chosen:
        slices[axis], numbers[axis] = slice(None), parts[axis]
        if axis > 1:
            start = parts[axis] % x.shape[axis]
            slices[axis], numbers[axis] = slice(start, start + 1), 0
    return lambda: x[tuple(slices)][tuple(numbers)]


def _expand(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Callable[[], Tensor] | None:
    """Repeat one channel by an index, and one pixel, row or column by interpolation."""
    x, *sizes = args
    sizes += kwargs.values()
    if not isinstance(x, Tensor) or x.ndim not in (3, 4) or not sizes:
        return None
    if isinstance(sizes[0], Tensor):
        sizes = list(sizes[0].shape)
    elif isinstance(sizes[0], tuple | list):
        sizes = list(sizes[0])
    if len(sizes) != x.ndim or any(type(size) is not int for size in sizes):
        return None
    wanted = [before if size == -1 else size for size, before in zip(sizes, x.shape, strict=True)]
    given = list(x.shape)
    if wanted[0] != given[0] or any(a not in (1, b) for a, b in zip(given, wanted, strict=True)):
        return None

    def compute() -> Tensor:
        repeated = x
        if wanted[1] != given[1]:
            repeated = repeated[:, [0] * wanted[1]]
        if wanted[2:] != given[2:]:
            repeated = F.interpolate(repeated, size=wanted[2:], mode="nearest")
        return repeated.clone() if repeated is x else repeated

    return compute


def _greatest(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Callable[[], Any] | None:
    """Compute the greatest values along one axis, and their places, each by a call of its own."""
    given = dict(zip(("input", "dim", "keepdim"), args, strict=False)) | dict(kwargs)
    x, axis = given.get("input"), given.get("dim", given.get("axis"))
    if not isinstance(x, Tensor) or type(axis) is not int or axis % x.ndim < 2:
        return None
    keeps = bool(given.get("keepdim", False))
    return lambda: torch.return_types.max((x.amax(axis, keeps), x.argmax(axis, keepdim=keeps)))


def _gate(input: Tensor, dim: int = -1) -> Tensor:
    values, gates = input.chunk(2, dim)
    return values * torch.sigmoid(gates)


def _pad(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Callable[[], Tensor] | None:
    given = dict(zip(("input", "pad", "mode", "value"), args, strict=False)) | dict(kwargs)
    value = given.get("value")
    if given.get("mode", "constant") != "constant" or type(value) not in (int, float) or not value:
        return None
    return lambda: torch.add(F.pad(torch.sub(given["input"], value), given["pad"]), value)


_BETWEEN_PIXELS = ("linear", "bilinear")
_INTERPOLATE = ("input", "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor")


def _interpolate(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Callable[[], Tensor] | None:
    """Compute (bi)linear interpolation by whole numbers as an average of repeated pixels.

    A straight line between the centres of pixels is the average of a step function over the width
    of one pixel. With each pixel repeated 2s times, s results of a pixel are 2 places apart, and
    each averages 2s places; for an odd s, half of all this is enough. Outside of the image, its
    border pixels are repeated.
    """
    given = dict(zip(_INTERPOLATE, args, strict=False)) | dict(kwargs)
    x, scale = given["input"], given.get("scale_factor")
    if given.get("mode") not in _BETWEEN_PIXELS or x.ndim not in (3, 4):
        return None
    if given.get("align_corners") or given.get("antialias"):
        return None
    axes = x.ndim - 2
    sizes, wanted = list(x.shape[2:]), given.get("size")
    by: list[Any]
    if wanted is None:
        by = list(scale) if isinstance(scale, tuple | list) else [scale] * axes
    else:
        whole = list(wanted) if isinstance(wanted, tuple | list) else [wanted] * axes
        by = [after / before for after, before in zip(whole, sizes, strict=True)]
    if any(not float(factor).is_integer() or factor < 1 for factor in by):
        return None
    times = [int(factor) * (1 if factor % 2 else 2) for factor in by]
    stride = [many // int(factor) for many, factor in zip(times, by, strict=True)]
    padding = [(many - step) // 2 for many, step in zip(times, stride, strict=True)]
    pool = F.avg_pool1d if axes == 1 else F.avg_pool2d

    def compute() -> Tensor:
        repeated = F.interpolate(x, scale_factor=[float(many) for many in times], mode="nearest")
        if max(padding):
            sides = [size for size in reversed(padding) for _ in range(2)]
            repeated = F.pad(repeated, sides, mode="replicate")
        return pool(repeated, times, stride)

    return compute


def sum_of_stack(
    func: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    values: Mapping[fx.Node, Tensor],
    read: Callable[[Tensor], fx.Node | None],
) -> tuple[list[Any], int] | None:
    """Find what a sum or mean over the axis of a ``torch.stack`` adds.

    Parameters
    ----------
    func, args, kwargs
        A call.
    values : mapping of fx.Node to Tensor
        Those of the recording.
    read : callable
        Gives the node of a tensor.

    Returns
    -------
    pair of list and int, or None
        What is added, nodes and constants, and what the sum is divided by; None for other calls.
    """
    name = str(getattr(func, "__name__", ""))
    if name not in ("sum", "mean") or not args or not isinstance(args[0], Tensor):
        return None
    given = dict(zip(("input", "dim"), args, strict=False)) | dict(kwargs)
    dim = given.get("dim", given.get("axis"))
    axes = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    if given.get("keepdim") or given.get("dtype") is not None or len(args) > 2 or len(axes) != 1:
        return None
    node = read(args[0])
    if node is None or node.target not in _STACKS or type(axes[0]) is not int:
        return None
    own = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    parts = node.args[0] if node.args else node.kwargs["tensors"]
    assert isinstance(own, int) and isinstance(parts, Sequence)
    if (own - axes[0]) % values[node].ndim:
        return None
    # What depends on the images comes first, so that no two constants are added.
    ordered = sorted(parts, key=lambda part: not isinstance(part, fx.Node))
    return ordered, len(ordered) if name == "mean" else 1
