"""Evaluation of hls4ml's graph in floating point, without types."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from systolith.hls4ml_backend.layers.activations import ACTIVATION_KINDS, name_function
from systolith.hls4ml_backend.layers.weighted import read_dilation

__all__ = ["run_floats"]

Floats = NDArray[np.float64]


def run_floats(graph: Any, x: Sequence[Floats]) -> dict[str, Floats]:
    """Compute every tensor of a graph without rounding or overflow.

    Weights that the model itself quantizes stay quantized.

    Parameters
    ----------
    graph : hls4ml.model.ModelGraph
        Graph with supported layers and channels last.
    x : sequence of array of float64, shape (N, ...)
        Inputs in the graph's shapes.

    Returns
    -------
    dict of str to array of float64
        Values, by tensor of hls4ml.
    """
    tensors: dict[str, Tensor] = {}
    given = dict(zip(graph.inputs, x, strict=True))
    for node in graph.get_layers():
        if node.class_name == "Input":
            made = torch.from_numpy(np.asarray(given[node.outputs[0]], dtype=np.float64))
        else:
            read = [tensors[name] for name in node.inputs if name]
            made = COMPUTED[node.class_name](node, *read)
        for name in node.outputs:
            tensors[name] = made
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _weight(node: Any, name: str) -> Tensor:
    return torch.from_numpy(np.array(node.get_weights(name).data, dtype=np.float64))


def _image(x: Tensor) -> Tensor:
    """Bring (N, H, W, C) or (N, W, C) to (N, C, H, W)."""
    whole = x.unsqueeze(1) if x.ndim == 3 else x
    return whole.permute(0, 3, 1, 2)


def _to_hls4ml_shape(y: Tensor, node: Any) -> Tensor:
    """Bring (N, C, H, W) to hls4ml's dimensions, channels last."""
    last = y.permute(0, 2, 3, 1)
    return last.squeeze(1) if "1D" in node.class_name else last


def _pad(node: Any, image: Tensor, value: float = 0.0) -> Tensor:
    sides = [int(node.get_attr(f"pad_{side}", 0)) for side in ("left", "right", "top", "bottom")]
    return functional.pad(image, sides, value=value)


def _stride(node: Any) -> tuple[int, int]:
    return int(node.get_attr("stride_height", 1)), int(node.get_attr("stride_width", 1))


def _dense(node: Any, x: Tensor) -> Tensor:
    return x @ _weight(node, "weight") + _weight(node, "bias").reshape(-1)


def _convolution(node: Any, x: Tensor) -> Tensor:
    weight = _weight(node, "weight")
    weight = weight.unsqueeze(0) if weight.ndim == 3 else weight
    image = _pad(node, _image(x))
    if "Depthwise" in node.class_name:
        groups = image.shape[1]
        kernel = weight.flatten(2).permute(2, 0, 1).unsqueeze(1)
    else:
        groups, kernel = 1, weight.permute(3, 2, 0, 1)
    bias = _weight(node, "bias").reshape(-1)
    dilation = read_dilation(node)
    made = functional.conv2d(image, kernel, bias, _stride(node), dilation=dilation, groups=groups)
    return _to_hls4ml_shape(made, node)


def _scale(node: Any, x: Tensor) -> Tensor:
    scale, bias = (_spread(_weight(node, name), x) for name in ("scale", "bias"))
    return x * scale + bias


def _spread(numbers: Tensor, x: Tensor) -> Tensor:
    """Give one number for each value, or one for each channel, the shape of the values."""
    return numbers.reshape(x.shape[1:] if numbers.numel() == x[0].numel() else -1)


def _pool(node: Any, x: Tensor) -> Tensor:
    image = _image(x)
    average = str(node.get_attr("pool_op")).lower() == "average"
    if "Global" in node.class_name:
        kept = image.mean(dim=(2, 3)) if average else image.amax(dim=(2, 3))
        return kept.reshape(len(x), *map(int, node.get_output_variable().shape))
    kernel = (int(node.get_attr("pool_height", 1)), int(node.get_attr("pool_width")))
    if average:
        return _to_hls4ml_shape(
            functional.avg_pool2d(_pad(node, image), kernel, _stride(node)), node
        )
    padded = _pad(node, image, float("-inf"))
    return _to_hls4ml_shape(functional.max_pool2d(padded, kernel, _stride(node)), node)


def _activation(node: Any, x: Tensor) -> Tensor:
    name, parameter = name_function(node), node.get_attr("activ_param", 1.0)
    match name:
        case "prelu":
            return torch.where(x > 0, x, x * _spread(_weight(node, "param"), x))
        case "hard_sigmoid" | "hard_tanh":
            line = (x * node.get_attr("slope") + node.get_attr("shift")).clamp(0, 1)
            result: Tensor = line if name == "hard_sigmoid" else 2 * line - 1
            return result
        case "leaky_relu" | "elu" | "thresholded_relu":
            return EXACT[name](x, float(parameter))
        case _:
            return EXACT[name](x)


def _softmax(node: Any, x: Tensor) -> Tensor:
    return x.softmax(-1)


def _merge(node: Any, x: Tensor, y: Tensor) -> Tensor:
    return MERGES[str(node.get_attr("op")).lower()](x, y)


def _concatenate(node: Any, x: Tensor, y: Tensor) -> Tensor:
    axis = int(node.get_attr("axis"))
    return torch.cat((x, y), axis if axis else 1)


def _resize(node: Any, x: Tensor) -> Tensor:
    image, shape = _image(x), (1, *map(int, node.get_output_variable().shape))[-3:]
    last = functional.interpolate(image, size=shape[:2]).permute(0, 2, 3, 1)
    return last.squeeze(1) if x.ndim == 3 else last


def _crop(node: Any, x: Tensor) -> Tensor:
    sides = [-int(node.get_attr(f"crop_{side}", 0)) for side in ("left", "right", "top", "bottom")]
    return _to_hls4ml_shape(functional.pad(_image(x), sides), node)


def _reshape(node: Any, x: Tensor) -> Tensor:
    shape = [int(size) for size in node.get_output_variable().shape]
    assert prod(shape) == prod(x.shape[1:])  # compared while the layer was mapped
    return x.reshape(len(x), *shape)


def _transpose(node: Any, x: Tensor) -> Tensor:
    return x.permute(0, *(int(axis) + 1 for axis in node.get_attr("perm")))


def _zero_pad(node: Any, x: Tensor) -> Tensor:
    return _to_hls4ml_shape(_pad(node, _image(x)), node)


EXACT: Mapping[str, Callable[..., Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "selu": functional.selu,
    "elu": functional.elu,
    "leaky_relu": functional.leaky_relu,
    "thresholded_relu": lambda x, theta: torch.where(x > theta, x, 0.0),
    "binary_tanh": lambda x: torch.where(x >= 0, 1.0, -1.0),
    "ternary_tanh": lambda x: torch.where(x > 1, 1.0, torch.where(x <= -1, -1.0, 0.0)),
}
"""Functions of one value, by name in hls4ml's C++."""
MERGES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "average": lambda x, y: (x + y) / 2,
}
COMPUTED: Mapping[str, Callable[..., Tensor]] = {
    "Dense": _dense,
    **dict.fromkeys(
        (
            *("Conv1D", "Conv2D", "Conv2DBatchnorm", "PointwiseConv1D", "PointwiseConv2D"),
            *("DepthwiseConv1D", "DepthwiseConv2D"),
        ),
        _convolution,
    ),
    **dict.fromkeys(("BatchNormalization", "ApplyAlpha"), _scale),
    **dict.fromkeys(("Pooling1D", "Pooling2D", "GlobalPooling1D", "GlobalPooling2D"), _pool),
    **dict.fromkeys(ACTIVATION_KINDS, _activation),
    "Softmax": _softmax,
    "Merge": _merge,
    "Concatenate": _concatenate,
    "Resize": _resize,
    **dict.fromkeys(("Cropping1D", "Cropping2D"), _crop),
    "Reshape": _reshape,
    "Transpose": _transpose,
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), _zero_pad),
}
"""Evaluation of all supported layers, by class."""
