"""Recognize calls of functions and methods, and say what is wrong with those that do not fit."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from systolith.network import Shape
from systolith.quant.constants import scale_of
from systolith.quant.operations import (
    Activate,
    AddUp,
    AveragePool,
    MaxPool,
    Pass,
    Reshape,
)
from systolith.quant.recognize import (
    AVG_POOL,
    FLATTEN,
    MAX_POOL,
    SUPPORTED,
    Recognized,
    Shapes,
    adaptive_average_pool,
    adaptive_max_pool,
    average_pool,
    clip,
    flatten,
    max_pool,
    softmax,
    zero_pad,
)
from systolith.quant.requantizing import Activation

__all__ = ["recognize_call"]

Settings = Mapping[str, Any]

RESHAPE = "flatten with torch.flatten(x, 1) or nn.Flatten()"
MODULES_ONLY = "call it through its module, such as nn.Conv2d, which owns the weights"
_ZEROS_AND_ONES = "a frozen Conv2d with a kernel of 1x1, of ones and zeros,"
SLICE = (
    f"cannot leave parts of a tensor out; {_ZEROS_AND_ONES} and a stride, computes every second "
    "pixel, or some of the channels"
)
CHANNELS = f"cannot add channels of zeros; {_ZEROS_AND_ONES} computes the same"


def recognize_call(node: fx.Node, shapes: Shapes) -> Recognized:
    """Recognize a function or method call by its target.

    Parameters
    ----------
    node : fx.Node
        Its arguments are nodes where they depend on the images, and values elsewhere.
    shapes : Shapes
        Of the first node that it reads, and of what it gives.
    """
    target = f"Tensor.{node.target}" if node.op == "call_method" else node.target
    row = _CALLS.get(target)
    if row is None:
        return None, [_REASONS.get(target, SUPPORTED)]
    parameters, recognizer = row
    if len(node.args) > 1 + len(parameters):
        if target in _VARIADIC:
            return recognizer({}, shapes)
        return None, [f"has more arguments than are understood: {len(node.args)}"]
    names = ("input", *parameters)
    settings = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    if unknown := sorted(settings.keys() - {*names, *_HARMLESS}):
        return None, [f"has an argument that is not understood: {name}" for name in unknown]
    for name, value in settings.items():
        if isinstance(value, fx.Node) and name not in ("input", "other") and row[1] is not _reshape:
            return None, [f"needs {name} to be a constant, got an activation"]
        if isinstance(value, Tensor) and name not in ("input", "other") and value.numel() != 1:
            return None, [f"needs {name} to be one number, got shape {tuple(value.shape)}"]
    if not isinstance(settings.get("input"), fx.Node) and target not in _TWO_SIDED:
        return None, [SUPPORTED]
    return recognizer(settings, shapes)


def _relu(settings: Settings, shapes: Shapes) -> Recognized:
    return Activate(Activation.RELU), []


def _relu6(settings: Settings, shapes: Shapes) -> Recognized:
    return Activate(Activation.RELU6), []


def _hardtanh(settings: Settings, shapes: Shapes) -> Recognized:
    limits = settings.get("min_val", -1.0), settings.get("max_val", 1.0)
    return clip({"min": limits[0], "max": limits[1]}, shapes)


def _pass(settings: Settings, shapes: Shapes) -> Recognized:
    return Pass(), []


def _dropout(settings: Settings, shapes: Shapes) -> Recognized:
    if settings.get("training", True) and settings.get("p", 0.5) != 0:
        return None, ["drops values in evaluation, too; write training=self.training"]
    return Pass(), []


def _reshape(settings: Settings, shapes: Shapes) -> Recognized:
    return Reshape(RESHAPE), []


def _pad(settings: Settings, shapes: Shapes) -> Recognized:
    sides = settings["pad"]
    if len(shapes.output) == 4 and shapes.input[1] != shapes.output[1] and len(sides) == 6:
        rows = [f"needs rows and columns to add on 2 or 4 sides, got {sides}"]
        return None, rows if any(sides[:4]) else [*rows, CHANNELS]
    return zero_pad(settings, shapes)


def _getitem(settings: Settings, shapes: Shapes) -> Recognized:
    """Axes of length 1 may be dropped, or added; anything else leaves something out."""
    index = settings["index"]
    parts = index if isinstance(index, tuple) else (index,)
    plain = all(part is None or part is Ellipsis or type(part) in (int, slice) for part in parts)
    if plain and _count(shapes.input) == _count(shapes.output):
        return Reshape(RESHAPE), []
    return None, [SLICE]


def _mean(settings: Settings, shapes: Shapes) -> Recognized:
    window = _reduced(settings, shapes)
    if window is None:
        return None, ["needs axes of images, 2 and 3, and no other dtype; or use AvgPool2d"]
    if window == shapes.image:
        return AveragePool(None, (1, 1), (0, 0, 0, 0)), []
    return AveragePool(window, window, (0, 0, 0, 0)), []


def _maximum(settings: Settings, shapes: Shapes) -> Recognized:
    window = _reduced(settings, shapes)
    if window is None:
        return None, ["needs axes of images, 2 and 3; or use MaxPool2d"]
    return MaxPool(window, window, (0, 0, 0, 0)), []


def _reduced(settings: Settings, shapes: Shapes) -> tuple[int, int] | None:
    """Window of a reduction over whole rows, columns, or both."""
    axes = settings.get("dim", settings.get("axis"))
    axes = axes if isinstance(axes, tuple | list) else (axes,)
    if len(shapes.input) != 4 or settings.get("dtype") is not None:
        return None
    if not all(isinstance(axis, int) and axis % 4 in (2, 3) for axis in axes):
        return None
    reduced = {axis % 4 for axis in axes}
    height, width = shapes.image
    return height if 2 in reduced else 1, width if 3 in reduced else 1


def _add(settings: Settings, shapes: Shapes) -> Recognized:
    problems, alpha = [], settings.get("alpha", 1)
    one, other = settings.get("input"), settings.get("other")
    if not (isinstance(one, fx.Node) and isinstance(other, fx.Node)):
        constant = one if isinstance(other, fx.Node) else other
        if isinstance(other, fx.Node) and alpha != 1:
            return None, [f"needs alpha 1, got {alpha}"]
        given = "a constant tensor" if isinstance(constant, Tensor) else constant
        reason = f"needs two activations, got {given}"
        return scale_of(shapes, reason, shift=constant, times=alpha)
    if alpha != 1:
        problems.append(f"needs alpha 1, got {alpha}")
    return AddUp(), problems


def _subtract(settings: Settings, shapes: Shapes) -> Recognized:
    if isinstance(settings.get("input"), fx.Node) and not isinstance(settings["other"], fx.Node):
        times = -settings.get("alpha", 1)
        return scale_of(shapes, SUPPORTED, shift=settings["other"], times=times)
    return None, [SUPPORTED]


def _multiply(settings: Settings, shapes: Shapes) -> Recognized:
    one, other = settings.get("input"), settings.get("other")
    if isinstance(one, fx.Node) and isinstance(other, fx.Node):
        return None, [SUPPORTED]
    return scale_of(shapes, SUPPORTED, factor=one if isinstance(other, fx.Node) else other)


def _divide(settings: Settings, shapes: Shapes) -> Recognized:
    if not isinstance(settings.get("input"), fx.Node) or isinstance(settings["other"], fx.Node):
        return None, [SUPPORTED]
    if settings.get("rounding_mode") is not None:
        return None, ["needs rounding_mode None"]
    return scale_of(shapes, SUPPORTED, divisor=settings["other"])


def _count(shape: Shape) -> int:
    return torch.Size(shape).numel()


_Recognizer = Callable[[Settings, Shapes], Recognized]
_Row = tuple[tuple[str, ...], _Recognizer]


def _table(*rows: tuple[tuple[Any, ...], tuple[str, ...], _Recognizer]) -> dict[Any, _Row]:
    return {target: (names, rule) for targets, names, rule in rows for target in targets}


_CALLS = _table(
    (
        (F.relu, torch.relu, torch.relu_, "Tensor.relu", "Tensor.relu_"),
        ("inplace",),
        _relu,
    ),
    ((F.relu6, torch._C._nn.relu6_), ("inplace",), _relu6),
    ((F.hardtanh, F.hardtanh_), ("min_val", "max_val", "inplace"), _hardtanh),
    (
        (torch.clamp, torch.clamp_, torch.clip, torch.clip_)
        + ("Tensor.clamp", "Tensor.clamp_", "Tensor.clip", "Tensor.clip_"),
        ("min", "max"),
        clip,
    ),
    ((torch.clamp_min, torch.clamp_min_, "Tensor.clamp_min", "Tensor.clamp_min_"), ("min",), clip),
    ((F.max_pool2d, torch.max_pool2d), MAX_POOL, max_pool),
    ((F.avg_pool2d,), AVG_POOL, average_pool),
    ((F.adaptive_avg_pool2d,), ("output_size",), adaptive_average_pool),
    ((F.adaptive_max_pool2d,), ("output_size", "return_indices"), adaptive_max_pool),
    ((torch.mean, "Tensor.mean"), ("dim", "keepdim", "dtype", "axis"), _mean),
    ((torch.amax, "Tensor.amax"), ("dim", "keepdim", "axis"), _maximum),
    ((torch.flatten, "Tensor.flatten"), FLATTEN, flatten),
    (
        ("Tensor.view", "Tensor.reshape", torch.reshape, "Tensor.view_as", "Tensor.reshape_as")
        + (torch.squeeze, "Tensor.squeeze", "Tensor.squeeze_")
        + (torch.unsqueeze, "Tensor.unsqueeze", "Tensor.unsqueeze_")
        + (torch.unflatten, "Tensor.unflatten"),
        ("shape", "dim", "size", "sizes", "other"),
        _reshape,
    ),
    ((operator.getitem,), ("index",), _getitem),
    (
        (operator.add, operator.iadd, torch.add, "Tensor.add", "Tensor.add_"),
        ("other", "alpha"),
        _add,
    ),
    ((operator.sub, torch.sub, torch.subtract, "Tensor.sub_"), ("other", "alpha"), _subtract),
    ((operator.mul, torch.mul, torch.multiply, "Tensor.mul_"), ("other",), _multiply),
    (
        (operator.truediv, torch.div, torch.divide, "Tensor.div_"),
        ("other", "rounding_mode"),
        _divide,
    ),
    (
        (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout)
        + (F.feature_alpha_dropout,),
        ("p", "training", "inplace"),
        _dropout,
    ),
    (
        (torch.clone, torch.detach, "Tensor.contiguous", "Tensor.clone", "Tensor.detach")
        + ("Tensor.detach_", "Tensor.data", "Tensor.to", "Tensor.float", "Tensor.double")
        + ("Tensor.cpu", "Tensor.cuda", "Tensor.type_as", "Tensor.requires_grad_"),
        ("other", "dtype", "device", "non_blocking", "copy", "memory_format", "requires_grad"),
        _pass,
    ),
    ((F.pad,), ("pad", "mode", "value"), _pad),
    (
        (F.softmax, F.log_softmax, torch.softmax, torch.log_softmax)
        + ("Tensor.softmax", "Tensor.log_softmax"),
        ("dim", "_stacklevel", "dtype"),
        softmax,
    ),
)

_HARMLESS = ("inplace", "keepdim", "memory_format", "_stacklevel")
_TWO_SIDED = (operator.add, torch.add, operator.mul, torch.mul, torch.multiply)
_VARIADIC = ("Tensor.view", "Tensor.reshape", "Tensor.unflatten", "Tensor.squeeze")

_REASONS: dict[Any, str] = {
    F.conv2d: MODULES_ONLY,
    F.linear: MODULES_ONLY,
    F.batch_norm: MODULES_ONLY,
}
