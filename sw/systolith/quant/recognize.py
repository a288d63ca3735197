"""Recognize modules of PyTorch, and say what is wrong with those that do not fit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from systolith.network import Padding, Shape
from systolith.quant.operations import (
    Activate,
    AveragePool,
    Convolve,
    MaxPool,
    Multiply,
    Normalize,
    Operation,
    Pad,
    Pass,
    Reshape,
    Softmax,
)
from systolith.quant.requantizing import RELU6_LIMIT, Activation
from systolith.trace.modules import kind_of

__all__ = [
    "AVG_POOL",
    "FLATTEN",
    "MAX_POOL",
    "SUPPORTED",
    "Recognized",
    "Shapes",
    "adaptive_average_pool",
    "adaptive_max_pool",
    "average_pool",
    "clip",
    "flatten",
    "max_pool",
    "recognize_module",
    "softmax",
    "zero_pad",
]

Recognized = tuple[Operation | None, list[str]]
"""The operation, and the reasons why it is not supported."""

Settings = Mapping[str, Any]

SUPPORTED = (
    "supported are Conv2d, BatchNorm2d, Linear, ReLU, ReLU6, MaxPool2d, AvgPool2d, "
    "AdaptiveAvgPool2d(1), Flatten, ZeroPad2d, addition, Dropout and Identity"
)

MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
AVG_POOL = (
    "kernel_size",
    "stride",
    "padding",
    "ceil_mode",
    "count_include_pad",
    "divisor_override",
)
FLATTEN = ("start_dim", "end_dim")
_IMAGE_AXES = 4


@dataclass(frozen=True, slots=True)
class Shapes:
    """Shapes of what an operation reads and gives, batch axis first."""

    input: Shape
    output: Shape

    @property
    def image(self) -> tuple[int, int]:
        """Height and width of what it reads."""
        return self.input[2], self.input[3]

    @property
    def are_images(self) -> bool:
        """Whether both are (N, C, H, W)."""
        return len(self.input) == len(self.output) == _IMAGE_AXES


def recognize_module(module: nn.Module, shapes: Shapes) -> Recognized:
    """Recognize a leaf module by its exact type; a subclass may compute something else."""
    match kind_of(module), module:
        case nn.Conv2d, nn.Conv2d():
            return _convolution(module)
        case nn.Linear, nn.Linear():
            return Multiply(module), []
        case ((nn.BatchNorm2d | nn.BatchNorm1d), (nn.BatchNorm2d() | nn.BatchNorm1d())):
            return _batch_norm(module, shapes)
        case nn.ReLU, _:
            return Activate(Activation.RELU), []
        case nn.ReLU6, _:
            return Activate(Activation.RELU6), []
        case nn.Hardtanh, nn.Hardtanh():
            return clip({"min": module.min_val, "max": module.max_val}, shapes)
        case nn.MaxPool2d, nn.MaxPool2d():
            return max_pool(_settings(module, MAX_POOL), shapes)
        case nn.AvgPool2d, nn.AvgPool2d():
            return average_pool(_settings(module, AVG_POOL), shapes)
        case nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool2d():
            return adaptive_average_pool({"output_size": module.output_size}, shapes)
        case nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool2d():
            names = ("output_size", "return_indices")
            return adaptive_max_pool(_settings(module, names), shapes)
        case nn.Flatten, nn.Flatten():
            return flatten(_settings(module, FLATTEN), shapes)
        case nn.Unflatten, nn.Unflatten():
            return Reshape("supported before a Flatten only"), []
        case nn.ZeroPad2d, nn.ZeroPad2d():
            return zero_pad({"pad": module.padding}, shapes)
        case nn.ConstantPad2d, nn.ConstantPad2d():
            return zero_pad({"pad": module.padding, "value": module.value}, shapes)
        case _ if kind_of(module) in _NOTHING:
            return Pass(), []
        case ((nn.Softmax | nn.LogSoftmax), (nn.Softmax() | nn.LogSoftmax())):
            return softmax({"dim": module.dim}, shapes)
        case nn.Softmax2d, _:
            return softmax({"dim": -3}, shapes)
        case _:
            return None, [SUPPORTED]


def _settings(module: nn.Module, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names}


def _convolution(module: nn.Conv2d) -> Recognized:
    problems = []
    if set(module.dilation) != {1}:
        problems.append(f"needs dilation 1, got {module.dilation}")
    if module.padding_mode != "zeros":
        problems.append(f"needs padding_mode 'zeros', got '{module.padding_mode}'")
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


def _batch_norm(module: nn.BatchNorm2d | nn.BatchNorm1d, shapes: Shapes) -> Recognized:
    problems = []
    if module.running_mean is None:
        problems.append("needs running statistics, tracks none")
    if len(shapes.input) not in (2, _IMAGE_AXES):
        problems.append(f"needs (N, C, H, W) or (N, features), got {shapes.input}")
    return Normalize(module), problems


def max_pool(settings: Settings, shapes: Shapes) -> Recognized:
    """Recognize a max pool."""
    if settings.get("return_indices"):
        return None, ["needs return_indices=False, got True"]
    problems = list(_pool_problems(settings, shapes))
    if _pair(settings.get("dilation", 1)) != (1, 1):
        problems.append(f"needs dilation 1, got {settings['dilation']}")
    kernel = _pair(settings["kernel_size"])
    stride = _pair(settings.get("stride") or kernel)
    return MaxPool(kernel, stride, _symmetric(settings.get("padding", 0))), problems


def average_pool(settings: Settings, shapes: Shapes) -> Recognized:
    """Recognize an average pool."""
    problems = list(_pool_problems(settings, shapes))
    padding = _symmetric(settings.get("padding", 0))
    if any(padding) and not settings.get("count_include_pad", True):
        problems.append("needs count_include_pad=True with padding, got False")
    if settings.get("divisor_override") is not None:
        problems.append(f"needs divisor_override=None, got {settings['divisor_override']}")
    kernel = _pair(settings["kernel_size"])
    return AveragePool(kernel, _pair(settings.get("stride") or kernel), padding), problems


def _pool_problems(settings: Settings, shapes: Shapes) -> Iterator[str]:
    kernel = _pair(settings["kernel_size"])
    stride = _pair(settings.get("stride") or kernel)
    padding = _symmetric(settings.get("padding", 0))
    if not shapes.are_images:
        yield f"needs images (N, C, H, W), got {shapes.input}"
    elif settings.get("ceil_mode"):
        top, _, left, _ = padding
        sizes = zip(shapes.image, (top, left), kernel, stride, strict=True)
        whole = tuple((size + 2 * pad - window) // step + 1 for size, pad, window, step in sizes)
        if whole != shapes.output[2:]:
            yield "needs ceil_mode=False, got True"
    yield from _padding_problems(padding, kernel)


def adaptive_average_pool(settings: Settings, shapes: Shapes) -> Recognized:
    """Recognize an adaptive average pool whose windows are all of one size."""
    window = _adaptive_window(shapes)
    if window is None:
        return None, [f"needs output_size 1, got {settings['output_size']}"]
    if shapes.output[2:] == (1, 1):
        return AveragePool(None, (1, 1), (0, 0, 0, 0)), []
    if window == (1, 1):
        return Pass(), []
    return AveragePool(window, window, (0, 0, 0, 0)), []


def adaptive_max_pool(settings: Settings, shapes: Shapes) -> Recognized:
    """Recognize an adaptive max pool whose windows are all of one size."""
    if settings.get("return_indices"):
        return None, ["needs return_indices=False, got True"]
    window = _adaptive_window(shapes)
    if window is None:
        return None, [f"needs output_size 1, got {settings['output_size']}"]
    return Pass() if window == (1, 1) else MaxPool(window, window, (0, 0, 0, 0)), []


def _adaptive_window(shapes: Shapes) -> tuple[int, int] | None:
    if not shapes.are_images:
        return None
    (rows, columns), (height, width) = shapes.image, shapes.output[2:]
    if rows % height or columns % width:
        return None
    return rows // height, columns // width


def flatten(settings: Settings, shapes: Shapes) -> Recognized:
    """Recognize flattening."""
    axes = settings.get("start_dim", 0), settings.get("end_dim", -1)
    return Reshape(f"needs axes 1 to -1, got {axes[0]} to {axes[1]}"), []


def clip(settings: Settings, shapes: Shapes) -> Recognized:
    """Recognize a clip to what ReLU and ReLU6 keep."""
    low, high = settings.get("min"), settings.get("max")
    if low == 0 and high in (None, float("inf")):
        return Activate(Activation.RELU), []
    if low == 0 and high == RELU6_LIMIT:
        return Activate(Activation.RELU6), []
    return None, [f"needs limits 0 and 6, as ReLU6, or 0 and none, as ReLU, got {low} and {high}"]


def softmax(settings: Settings, shapes: Shapes) -> Recognized:
    """Recognize what does not change the predicted class."""
    axis = settings.get("dim")
    if axis is None or axis % len(shapes.input) != 1:
        return None, [f"needs axis 1, that of the classes, got {axis}; or return the logits"]
    return Softmax(), []


def zero_pad(settings: Settings, shapes: Shapes) -> Recognized:
    """Recognize added rows and columns of zeros."""
    if not shapes.are_images:
        return None, [f"needs images (N, C, H, W), got {shapes.input}"]
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
    """Two numbers of one, of a list of one, or of two."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    return int(values[0]), int(values[-1])


def _symmetric(padding: Any) -> Padding:
    vertical, horizontal = _pair(padding)
    return vertical, vertical, horizontal, horizontal


_NOTHING = (
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
)
