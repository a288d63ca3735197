"""hls4ml's graph computed layer by layer in doubles: slow, plain, and independent of the mapping.

A value of up to 53 bits is exact in a double, and so are sums of them. Each result is cast to its
type as ``ap_fixed`` does, by the definition of its modes.
"""

import math
from typing import Any

import numpy as np
import torch
from hls4ml.model.types import RoundingMode, SaturationMode
from numpy.typing import NDArray
from torch.nn import functional

Doubles = NDArray[np.float64]


def cast(values: Doubles, precision: Any) -> Doubles:
    """Convert to an ap_fixed or ap_int."""
    unit = 2.0 ** -(precision.width - precision.integer)
    scaled = values / unit
    match precision.rounding_mode:
        case RoundingMode.RND:
            whole = np.floor(scaled + 0.5)
        case RoundingMode.RND_CONV:
            whole = np.rint(scaled)
        case RoundingMode.TRN_ZERO:
            whole = np.trunc(scaled)
        case _:
            whole = np.floor(scaled)
    span = 2.0**precision.width
    least = -span / 2 if precision.signed else 0.0
    most = least + span - 1
    match precision.saturation_mode:
        case SaturationMode.WRAP:
            whole = whole - span * np.floor((whole - least) / span)
        case SaturationMode.SAT_SYM:
            whole = np.clip(whole, least + (1 if precision.signed else 0), most)
        case _:
            whole = np.clip(whole, least, most)
    return np.asarray(whole * unit)


def interpret(graph: Any, *x: Doubles) -> list[Doubles]:
    """Compute the outputs of a graph of hls4ml, without a softmax at its end.

    Parameters
    ----------
    graph : hls4ml.model.ModelGraph
    x : array of float64, shape (N, ...)
        Each input.
    """
    given = dict(zip(graph.inputs, x, strict=True))
    tensors: dict[str, Doubles] = {}
    for node in graph.get_layers():
        if node.class_name == "Input":
            made = np.asarray(given[node.outputs[0]])
        else:
            made = _compute(node, *(tensors[name] for name in node.inputs if name))
        if node.class_name != "Softmax":
            made = cast(made, node.get_output_variable().type.precision)
        for name in node.outputs:
            tensors[name] = made
    return [tensors[name].reshape(len(x[0]), -1) for name in graph.outputs]


def _compute(node: Any, *read: Doubles) -> Doubles:
    x = read[0]
    kind = node.class_name
    match kind:
        case "Dense":
            return _sum(node, x @ _parameter(node, "weight") + _parameter(node, "bias").reshape(-1))
        case "BatchNormalization" | "ApplyAlpha":
            scale, bias = (_shaped(_parameter(node, key), x) for key in ("scale", "bias"))
            return x * scale + bias
        case "Merge":
            return MERGES[node.get_attr("op").lower()](*_alike(*read))
        case "Concatenate":
            precision = node.get_output_variable().type.precision
            return np.concatenate([cast(part, precision) for part in read], node.get_attr("axis"))
        case "Reshape":
            return x.reshape(len(x), *map(int, node.get_output_variable().shape))
        case "Transpose":
            return x.transpose(0, *(int(axis) + 1 for axis in node.get_attr("perm")))
        case "Softmax":
            return x
    if kind in ("Activation", "ParametrizedActivation", "HardActivation", "PReLU"):
        return _activate(node, x)
    image = x[:, None] if x.ndim == 3 else x
    made = _on_image(node, image)
    return made[:, 0] if x.ndim == 3 and made.ndim == 4 else made


def _on_image(node: Any, x: Doubles) -> Doubles:
    """Compute a layer of images, channels last."""
    kind = node.class_name
    pads = [int(node.get_attr(f"pad_{side}", 0)) for side in ("top", "bottom", "left", "right")]
    sides = ((0, 0), tuple(pads[:2]), tuple(pads[2:]), (0, 0))
    strides = int(node.get_attr("stride_height", 1)), int(node.get_attr("stride_width", 1))
    if "Conv" in kind:
        weight = _parameter(node, "weight")
        weight = weight[None] if weight.ndim == 3 else weight
        by = int(node.get_attr("dilation") or 1)
        kernel, groups = weight.transpose(3, 2, 0, 1), 1
        if "Depthwise" in kind:
            groups = x.shape[-1]
            kernel = weight.reshape(*weight.shape[:2], -1).transpose(2, 0, 1)[:, None]
        made = functional.conv2d(
            torch.from_numpy(np.pad(x, sides).transpose(0, 3, 1, 2).copy()),
            torch.from_numpy(kernel.copy()),
            torch.from_numpy(_parameter(node, "bias").reshape(-1)),
            strides,
            dilation=(by if x.shape[1] > 1 else 1, by),
            groups=groups,
        )
        return _sum(node, made.numpy().transpose(0, 2, 3, 1))
    if "Pooling" in kind:
        return _pool(node, x, sides, strides)
    if "Padding" in kind:
        return np.pad(x, sides)
    if "Cropping" in kind:
        crops = [
            int(node.get_attr(f"crop_{side}", 0)) for side in ("top", "bottom", "left", "right")
        ]
        _, height, width, _ = x.shape
        return x[:, crops[0] : height - crops[1], crops[2] : width - crops[3]]
    assert kind == "Resize", kind
    _, height, width, _ = x.shape
    rows, columns, _ = (1, *node.get_output_variable().shape)[-3:]
    return x.repeat(rows // height, axis=1).repeat(columns // width, axis=2)


def _pool(node: Any, x: Doubles, sides: Any, strides: tuple[int, int]) -> Doubles:
    accum = node.types["accum_t"].precision
    average = node.get_attr("pool_op").lower() == "average"
    x = np.pad(cast(x, accum), sides, constant_values=0.0 if average else -np.inf)
    kernel = int(node.get_attr("pool_height", 1)), int(node.get_attr("pool_width", 1))
    if "Global" in node.class_name:
        kernel = strides = x.shape[1], x.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, (1, 2))
    windows = windows[:, :: strides[0], :: strides[1]]
    if not average:
        made = windows.max((-2, -1))
    else:
        unit = 2.0 ** -(accum.width - accum.integer)
        made = np.trunc(windows.sum((-2, -1)) / unit / np.prod(kernel)) * unit
    if "Global" in node.class_name:
        return made.reshape(len(x), *map(int, node.get_output_variable().shape))
    return np.asarray(made)


def _sum(node: Any, total: Doubles) -> Doubles:
    return cast(total, node.types["accum_t"].precision)


def _parameter(node: Any, name: str) -> Doubles:
    """Read parameters from the text that the C++ reads."""
    variable = node.get_weights(name)
    numbers = np.array([float(text) for text in variable]).reshape(np.shape(variable.data))
    return cast(numbers, variable.type.precision)


def _shaped(numbers: Doubles, x: Doubles) -> Doubles:
    return numbers.reshape(x.shape[1:]) if numbers.size == x[0].size else numbers.reshape(-1)


def _alike(x: Doubles, y: Doubles) -> tuple[Doubles, Doubles]:
    shape = np.broadcast_shapes(x.shape, y.shape)
    return np.broadcast_to(x, shape), np.broadcast_to(y, shape)


MERGES: Any = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "average": lambda x, y: (x + y) / 2,
}


def _activate(node: Any, x: Doubles) -> Doubles:
    result = node.get_output_variable().type.precision
    name = node.get_attr("activation").lower().replace("_", "")
    if name == "linear":
        return x
    if name == "relu":
        return np.maximum(x, 0)
    if name == "prelu":
        return np.where(x > 0, x, x * _shaped(_parameter(node, "param"), x))
    if name.startswith("hard"):
        slope, shift = (
            cast(np.array(node.get_attr(key)), node.types[f"{key}_t"].precision)
            for key in ("slope", "shift")
        )
        line = np.clip(slope * x + shift, 0, 1)
        return line if name == "hardsigmoid" else 2 * line - 1
    given = node.get_input_variable().type.precision
    table = node.types["table_t"].precision if name in TABLES else None
    parameter = 1.0
    if node.class_name == "ParametrizedActivation":
        number = np.array(float(node.get_attr("activ_param", 1.0)))
        parameter = float(cast(number, node.types["param_t"].precision))
    size = int(node.get_attr("table_size", 1024))
    flat = [_value(name, float(v), given, table, parameter, size) for v in x.reshape(-1)]
    return cast(np.array(flat), result).reshape(x.shape)


def _value(name: str, v: float, given: Any, table: Any, parameter: float, size: int) -> float:
    match name:
        case "leakyrelu":
            return v if v > 0 else parameter * v
        case "thresholdedrelu":
            return v if v > parameter else 0.0
        case "binarytanh":
            return 1.0 if v >= 0 else -1.0
        case "ternarytanh":
            return 1.0 if v > 1 else -1.0 if v <= -1 else 0.0
        case "elu" if v >= 0:
            return v
        case "selu" if v >= 0:
            return v * float(cast(np.array(1.0507009873554805), given))
    span = TABLES[name]
    index = math.trunc(v * size / span) + (size // 2 if span > 0 else 0)
    index = min(max(index, 0), size - 1)
    at = np.float32(span * (index - (size / 2 if span > 0 else 0)) / size)
    entry = float(cast(np.array(float(_entry(name, at))), table))
    return entry * parameter if name == "elu" else entry


TABLES = {"sigmoid": 16, "tanh": 8, "softplus": 16, "softsign": 16, "elu": -8, "selu": -8}


def _entry(name: str, at: np.float32) -> np.float32:
    power = float(np.float32(math.exp(float(at))))
    match name:
        case "sigmoid":
            return np.float32(1.0 / float(np.float32(1) + np.float32(math.exp(-float(at)))))
        case "tanh":
            return np.float32(math.tanh(float(at)))
        case "softplus":
            return np.float32(math.log(power + 1))
        case "softsign":
            return np.float32(float(at) / (abs(float(at)) + 1))
        case "elu":
            return np.float32(power - 1)
        case _:
            return np.float32(1.0507009873554805 * (1.6732632423543772 * (power - 1)))
