"""Recognize modules and functions of PyTorch, and say what is wrong with those that do not fit."""

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from systolith.network import Padding
from systolith.quant.operations import (
    Activate,
    AddUp,
    AveragePool,
    Convolve,
    Flatten,
    MaxPool,
    Multiply,
    Normalize,
    Operation,
    Pad,
    Pass,
)
from systolith.quant.requantizing import Activation

__all__ = ["recognize_call", "recognize_module"]

Recognized = tuple[Operation | None, list[str]]
"""The operation, and the reasons why it is not supported."""

SUPPORTED = (
    "supported are Conv2d, BatchNorm2d, Linear, ReLU, ReLU6, MaxPool2d, AvgPool2d, "
    "AdaptiveAvgPool2d(1), Flatten, ZeroPad2d, addition, Dropout and Identity"
)


def recognize_module(module: nn.Module) -> Recognized:
    """Recognize a leaf module by its exact type; a subclass may compute something else."""
    match type(module), module:
        case nn.Conv2d, nn.Conv2d():
            return _convolution(module)
        case nn.Linear, nn.Linear():
            return Multiply(module), []
        case nn.BatchNorm2d, nn.BatchNorm2d():
            tracks = module.running_mean is not None
            return Normalize(module), [] if tracks else ["needs running statistics, tracks none"]
        case nn.ReLU, _:
            return Activate(Activation.RELU), []
        case nn.ReLU6, _:
            return Activate(Activation.RELU6), []
        case nn.MaxPool2d, nn.MaxPool2d():
            return _max_pool(_settings(module, _MAX_POOL))
        case nn.AvgPool2d, nn.AvgPool2d():
            return _average_pool(_settings(module, _AVG_POOL))
        case nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool2d():
            return _adaptive_pool({"output_size": module.output_size})
        case nn.Flatten, nn.Flatten():
            return _flatten(_settings(module, _FLATTEN))
        case nn.ZeroPad2d, nn.ZeroPad2d():
            return _zero_pad({"pad": module.padding})
        case ((nn.Identity | nn.Dropout | nn.Dropout2d), _):
            return Pass(), []
        case ((nn.Softmax | nn.LogSoftmax), _):
            return None, ["does not change the predicted class; return the logits"]
        case _:
            return None, [SUPPORTED]


def recognize_call(node: fx.Node) -> Recognized:
    """Recognize a function or method call by its target."""
    target = f"Tensor.{node.target}" if node.op == "call_method" else node.target
    for targets, parameters, recognizer in _CALLS:
        if target in targets:
            bound = dict(zip(parameters, node.args[1:], strict=False))
            return recognizer({**bound, **node.kwargs})
    if target in ("Tensor.view", "Tensor.reshape", "Tensor.size"):
        return None, ["flatten with torch.flatten(x, 1) or nn.Flatten()"]
    if target in (F.softmax, F.log_softmax, "Tensor.softmax", "Tensor.log_softmax"):
        return None, ["does not change the predicted class; return the logits"]
    if target in (F.conv2d, torch.conv2d, F.linear, F.batch_norm):
        return None, ["call it through its module, such as nn.Conv2d, which owns the weights"]
    return None, [SUPPORTED]


def _settings(module: nn.Module, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names}


def _convolution(module: nn.Conv2d) -> Recognized:
    problems = []
    if set(module.dilation) != {1}:
        problems.append(f"needs dilation 1, got {module.dilation}")
    if module.padding_mode != "zeros":
        problems.append(f"needs padding_mode 'zeros', got '{module.padding_mode}'")
    if module.groups not in (1, module.in_channels):
        problems.append(
            f"needs groups 1 or in_channels ({module.in_channels}, depthwise), got {module.groups}"
        )
    padding = _conv_padding(module)
    problems += _padding_problems(padding, _pair(module.kernel_size))
    return Convolve(module, padding), problems


def _conv_padding(module: nn.Conv2d) -> Padding:
    match module.padding:
        case "valid":
            return 0, 0, 0, 0
        case "same":
            # As PyTorch: the odd row or column goes to the bottom and to the right.
            rows, columns = (size - 1 for size in module.kernel_size)
            return rows // 2, rows - rows // 2, columns // 2, columns - columns // 2
        case _:
            return _symmetric(module.padding)


def _max_pool(settings: Mapping[str, Any]) -> Recognized:
    problems = list(_pool_problems(settings))
    if _pair(settings.get("dilation", 1)) != (1, 1):
        problems.append(f"needs dilation 1, got {settings['dilation']}")
    if settings.get("return_indices"):
        problems.append("needs return_indices=False, got True")
    kernel = _pair(settings["kernel_size"])
    stride = _pair(settings.get("stride") or kernel)
    return MaxPool(kernel, stride, _symmetric(settings.get("padding", 0))), problems


def _average_pool(settings: Mapping[str, Any]) -> Recognized:
    problems = list(_pool_problems(settings))
    padding = _symmetric(settings.get("padding", 0))
    if any(padding) and not settings.get("count_include_pad", True):
        problems.append("needs count_include_pad=True with padding, got False")
    if settings.get("divisor_override") is not None:
        problems.append(f"needs divisor_override=None, got {settings['divisor_override']}")
    kernel = _pair(settings["kernel_size"])
    return AveragePool(kernel, _pair(settings.get("stride") or kernel), padding), problems


def _pool_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    if settings.get("ceil_mode"):
        yield "needs ceil_mode=False, got True"
    padding = _symmetric(settings.get("padding", 0))
    yield from _padding_problems(padding, _pair(settings["kernel_size"]))


def _adaptive_pool(settings: Mapping[str, Any]) -> Recognized:
    size = settings["output_size"]
    problems = [] if size in (1, (1, 1), [1, 1]) else [f"needs output_size 1, got {size}"]
    return AveragePool(None, (1, 1), (0, 0, 0, 0)), problems


def _flatten(settings: Mapping[str, Any]) -> Recognized:
    axes = settings.get("start_dim", 0), settings.get("end_dim", -1)
    whole = axes in ((1, -1), (1, 3))
    return Flatten(), [] if whole else [f"needs axes 1 to -1, got {axes[0]} to {axes[1]}"]


def _add(settings: Mapping[str, Any]) -> Recognized:
    problems = []
    if not isinstance(settings.get("other"), fx.Node):
        problems.append(f"needs two activations, got {settings.get('other')}")
    if settings.get("alpha", 1) != 1:
        problems.append(f"needs alpha 1, got {settings['alpha']}")
    return AddUp(), problems


def _relu(settings: Mapping[str, Any]) -> Recognized:
    return Activate(Activation.RELU), []


def _relu6(settings: Mapping[str, Any]) -> Recognized:
    return Activate(Activation.RELU6), []


def _pass(settings: Mapping[str, Any]) -> Recognized:
    return Pass(), []


def _zero_pad(settings: Mapping[str, Any]) -> Recognized:
    problems = []
    sides = settings["pad"]
    whole = isinstance(sides, tuple | list) and all(isinstance(side, int) for side in sides)
    if not whole or len(sides) not in (2, 4) or min(sides) < 0:
        problems.append(f"needs rows and columns to add on 2 or 4 sides, got {sides}")
        sides = (0, 0, 0, 0)
    if settings.get("mode", "constant") != "constant" or settings.get("value"):
        given = f"mode '{settings.get('mode', 'constant')}', value {settings.get('value')}"
        problems.append(f"needs to pad with zeros, got {given}")
    left, right, top, bottom = (*sides, 0, 0)[:4]
    return Pad((top, bottom, left, right)), problems


def _padding_problems(padding: Padding, kernel: tuple[int, int]) -> Iterator[str]:
    top, bottom, left, right = padding
    if max(top, bottom) >= kernel[0] or max(left, right) >= kernel[1]:
        yield f"needs padding smaller than the kernel {kernel}, got {(top, left)}"


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if isinstance(value, tuple | list) else (value, value)
    return int(first), int(second)


def _symmetric(padding: Any) -> Padding:
    vertical, horizontal = _pair(padding)
    return vertical, vertical, horizontal, horizontal


_MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVG_POOL = (
    "kernel_size",
    "stride",
    "padding",
    "ceil_mode",
    "count_include_pad",
    "divisor_override",
)
_FLATTEN = ("start_dim", "end_dim")

_Recognizer = Callable[[Mapping[str, Any]], Recognized]

_CALLS: tuple[tuple[tuple[Any, ...], tuple[str, ...], _Recognizer], ...] = (
    ((F.relu, torch.relu, torch.relu_, "Tensor.relu", "Tensor.relu_"), ("inplace",), _relu),
    ((F.relu6,), ("inplace",), _relu6),
    ((F.max_pool2d, torch.max_pool2d), _MAX_POOL, _max_pool),
    ((F.avg_pool2d,), _AVG_POOL, _average_pool),
    ((F.adaptive_avg_pool2d,), ("output_size",), _adaptive_pool),
    ((torch.flatten, "Tensor.flatten"), _FLATTEN, _flatten),
    (
        (operator.add, operator.iadd, torch.add, "Tensor.add", "Tensor.add_"),
        ("other", "alpha"),
        _add,
    ),
    ((F.dropout, F.dropout2d), (), _pass),
    ((F.pad,), ("pad", "mode", "value"), _zero_pad),
)
