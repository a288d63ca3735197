"""Nodes without weights: pools, activations, additions, reshaping."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf, prod

import numpy as np

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import Node
from systolith.exchange.values import (
    Activation,
    Constant,
    Emit,
    FloatArray,
    Follow,
    Images,
    Pending,
    QuantizedConstant,
    Value,
)
from systolith.exchange.weighted_nodes import multiplied, shifted
from systolith.exchange.windows import window_of
from systolith.network import (
    ADDED_MULTIPLIER_BITS,
    ActType,
    Add,
    AvgPool2d,
    Flatten,
    IntArray,
    Layer,
    MaxPool2d,
    Padding,
    Requantize,
    Shape,
    accumulator_range,
)

__all__ = [
    "add",
    "average_pool",
    "clip",
    "divide",
    "flatten",
    "floor",
    "global_average_pool",
    "identity",
    "max_pool",
    "multiply",
    "pad",
    "pending_of",
    "reduce_mean",
    "relu",
    "reshape",
    "subtract",
]

PROBE = Requantize(multiplier=np.array([1]), shift=np.array([0]))
WIDE = ActType(bits=16, signed=True)
LARGEST = (1 << ADDED_MULTIPLIER_BITS) - 1
MATCHING_BITS = 12
"""Of the greater multiplier, where the scales of an addition are no simple ratio."""


def identity(node: Node, values: Sequence[Value], made: Building) -> Value:
    """What changes nothing when a network runs."""
    return values[0]


def relu(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Relu: a lower bound."""
    return _cut(node, values[0], 0.0, inf)


def clip(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Clip with constant bounds, such as ReLU6."""
    bounds = [float(node.get("min", -inf)), float(node.get("max", inf))]
    for place, value in enumerate(values[1:3]):
        if not isinstance(value, Constant):
            raise ExchangeError(["has bounds that are computed; constant ones are supported"])
        if value.values.size:
            bounds[place] = float(value.values.reshape(-1)[0])
    return _cut(node, values[0], *bounds)


def _cut(node: Node, x: Value, low: float, high: float) -> Value:
    if isinstance(x, Activation):
        act, zero = x.tensor.type, x.tensor.type.zero_point
        if low <= x.scale * (act.low - zero) and x.scale * (act.high - zero) <= high:
            return x
    held = x if isinstance(x, Images) else pending_of(node, x)
    return replace(held, low=max(held.low, low), high=max(min(held.high, high), low))


def floor(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Floor: a quantizer that comes after it, of the same steps, drops fractions."""
    held = pending_of(node, values[0])
    if held.step is not None:
        raise ExchangeError(["rounds what was rounded down already"])
    return replace(held, step=1.0)


def pending_of(node: Node, x: Value) -> Pending:
    """See an activation as a layer that changes nothing and waits to be quantized anew."""
    if isinstance(x, Pending):
        return x
    image = _activation(x)
    if len(image.tensor.shape) != 3:
        raise ExchangeError(
            ["changes a vector that is quantized already; quantize it once only, after this"]
        )
    return _pooled(node, image, (1, 1), (1, 1), image.padding)


def max_pool(node: Node, values: Sequence[Value], made: Building) -> Value:
    """MaxPool: of quantized values, or before they are quantized, which is the same."""
    kernel = _kernel(node)
    if any(by != 1 for by in node.get("dilations", [1])):
        raise ExchangeError(["is dilated; not supported"])
    x = values[0]
    shape = x.result if isinstance(x, Pending) else _activation(x).tensor.shape
    if isinstance(x, Activation) and any(x.padding):
        raise ExchangeError(["reads an image padded with zeros; give the pool pads of its own"])
    stride, padding, problems = window_of(node, kernel, shape)
    if problems:
        raise ExchangeError(problems)

    def follow(name: str, source: str) -> Layer:
        return MaxPool2d(
            name=name, input=source, kernel_size=kernel, stride=stride, padding=padding
        )

    return _followed(node, x, follow, made)


def flatten(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Flatten, from the channels on."""
    x = values[0]
    if node.get("axis", 1) != 1:
        raise ExchangeError([f"flattens from axis {node.get('axis', 1)}; axis 1 is supported"])
    shape = x.result if isinstance(x, Pending) else _activation(x).tensor.shape
    if len(shape) == 1:
        return x
    return _followed(node, x, lambda name, source: Flatten(name=name, input=source), made)


def reshape(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Reshape or Squeeze that makes vectors of images, or nothing new."""
    x = values[0]
    shape = x.result if isinstance(x, Pending) else _activation(x).tensor.shape
    wanted = _wanted_shape(node, values, shape)
    if wanted == shape:
        return x
    if wanted != (prod(shape),):
        raise ExchangeError([f"gives {wanted} of {shape}; vectors of whole images are supported"])
    return flatten(replace(node, attributes={}), values, made)


def _wanted_shape(node: Node, values: Sequence[Value], shape: Shape) -> Shape:
    """Shape of one result."""
    given = values[1] if len(values) > 1 else Constant(values=np.array(node.get("axes", [])))
    if not isinstance(given, Constant):
        raise ExchangeError(["has a shape that is computed; a constant one is supported"])
    sizes = [int(size) for size in given.values.reshape(-1)]
    if node.op == "Squeeze":
        return tuple(size for axis, size in enumerate(shape, 1) if size != 1 or axis not in sizes)
    kept = [shape[axis - 1] if size == 0 else size for axis, size in enumerate(sizes) if axis]
    if kept.count(-1) == 1:
        kept[kept.index(-1)] = prod(shape) // max(prod(size for size in kept if size != -1), 1)
    return tuple(kept)


def pad(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Pad with zeros, before a convolution or an average pool."""
    x = _activation(values[0])
    given = values[1] if len(values) > 1 else Constant(values=np.array(node.get("pads", [])))
    if not isinstance(given, Constant):
        raise ExchangeError(["has pads that are computed; constant ones are supported"])
    fill = values[2] if len(values) > 2 else Constant(values=np.zeros(1))
    if node.get("mode", "constant") != "constant" or not isinstance(fill, Constant):
        raise ExchangeError([f"pads by '{node.get('mode', 'constant')}'; zeros are supported"])
    if fill.values.size and np.any(fill.values != 0):
        raise ExchangeError([f"pads with {fill.values.reshape(-1)[0]}; zeros are supported"])
    pads = [int(by) for by in given.values.reshape(-1)]
    if len(pads) != 8 or any(pads[:2]) or any(pads[4:6]) or min(pads) < 0:
        raise ExchangeError([f"has pads {pads}; those of height and width are supported"])
    top, left, bottom, right = pads[2], pads[3], pads[6], pads[7]
    around = x.padding
    padding = (top + around[0], bottom + around[1], left + around[2], right + around[3])
    return replace(x, padding=padding)


def average_pool(node: Node, values: Sequence[Value], made: Building) -> Value:
    """AveragePool; zeros of the padding count, or there are none."""
    x, kernel = _activation(values[0]), _kernel(node)
    stride, padding, problems = window_of(node, kernel, x.tensor.shape, x.padding)
    if any(padding) and not any(x.padding) and not node.get("count_include_pad", 0):
        problems.append(
            "leaves its padding out of the average; only count_include_pad=1 is supported"
        )
    if problems:
        raise ExchangeError(problems)
    return _pooled(node, x, kernel, stride, padding)


def global_average_pool(node: Node, values: Sequence[Value], made: Building) -> Value:
    """GlobalAveragePool."""
    x = _activation(values[0])
    if any(x.padding) or len(x.tensor.shape) != 3:
        raise ExchangeError(["works on vectors, or on a padded image"])
    return _pooled(node, x, None, (1, 1), (0, 0, 0, 0))


def reduce_mean(node: Node, values: Sequence[Value], made: Building) -> Value:
    """ReduceMean over height and width."""
    axes = node.get("axes", None)
    if axes is None and len(values) > 1 and isinstance(values[1], Constant):
        axes = values[1].values.reshape(-1).tolist()
    if sorted(axis % 4 for axis in axes or []) != [2, 3]:
        raise ExchangeError([f"averages over axes {axes}; height and width are supported"])
    pooled = global_average_pool(node, values, made)
    return pooled if node.get("keepdims", 1) else flatten(node, [pooled], made)


def _pooled(
    node: Node,
    x: Activation,
    kernel: tuple[int, int] | None,
    stride: tuple[int, int],
    padding: Padding,
) -> Pending:
    def emit(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Layer:
        return AvgPool2d(
            name=name,
            input=x.layer,
            requantize=requantize,
            output=output,
            kernel_size=kernel,
            stride=stride,
            padding=padding,
        )

    probe = emit("probe", np.zeros(1, dtype=np.int64), PROBE, WIDE)
    assert isinstance(probe, AvgPool2d)
    area = prod(probe.window(x.tensor.shape))
    return _plain(node, emit, [x], x.scale / area)


def _plain(node: Node, emit: Emit, sources: Sequence[Activation], scale: float) -> Pending:
    """A layer without weights whose result waits to be quantized."""
    tensors = [(x.tensor.shape, x.tensor.type) for x in sources]
    probe = emit("probe", np.zeros(1, dtype=np.int64), PROBE, WIDE)
    if problems := list(probe.problems([shape for shape, _ in tensors])):
        raise ExchangeError(problems)
    shape = probe.output_shape([each for each, _ in tensors])
    return Pending(
        name=node.name,
        shape=shape,
        result=shape,
        emit=emit,
        accumulated=lambda bias: accumulator_range(probe, tensors),
        scale=np.array([scale]),
        offset=np.zeros(1),
        biased=False,
    )


def add(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Add: two activations of one shape, or constants to what a layer gives."""
    for x, other in (values, values[::-1]):
        if isinstance(other, Constant | QuantizedConstant):
            return _moved(x, _constant(other))
    a, b = (_activation(value) for value in values)
    if any(a.padding) or any(b.padding):
        raise ExchangeError(["adds padded images"])
    multipliers, unit = _common_unit(a.scale, b.scale)

    def emit(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Layer:
        return Add(
            name=name,
            inputs=(a.layer, b.layer),
            multipliers=multipliers,
            requantize=requantize,
            output=output,
        )

    return _plain(node, emit, [a, b], unit)


def subtract(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Sub of a constant."""
    if not isinstance(values[1], Constant | QuantizedConstant):
        raise ExchangeError(["subtracts what is computed; constants are supported"])
    return _moved(values[0], -_constant(values[1]))


def _moved(x: Value, by: FloatArray) -> Value:
    match x:
        case Images() if x.low == -inf and x.high == inf:
            return replace(x, offset=x.offset + by)
        case Pending():
            return shifted(x, _per_channel(by, len(x.result)))
        case _:
            raise ExchangeError(["adds constants to what is quantized already; add them before"])


def multiply(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Mul by constants: what is positive is part of a scale."""
    for x, other in (values, values[::-1]):
        if isinstance(other, Constant | QuantizedConstant):
            return _scaled(node, x, _constant(other))
    raise ExchangeError(["multiplies two computed tensors; constants are supported"])


def divide(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Div by constants."""
    if not isinstance(values[1], Constant | QuantizedConstant):
        raise ExchangeError(["divides by what is computed; constants are supported"])
    return _scaled(node, values[0], 1 / _constant(values[1]))


def _scaled(node: Node, x: Value, by: FloatArray) -> Value:
    match x:
        case Images() if x.low == -inf and x.high == inf:
            return replace(x, scale=x.scale * by, offset=x.offset * by)
        case Activation() if by.size == 1 and by.flat[0] > 0:
            return replace(x, scale=x.scale * float(by.flat[0]))
        case _:
            held = pending_of(node, x)
            return multiplied(held, _per_channel(by, len(held.result)))


def _per_channel(values: FloatArray, axes: int) -> FloatArray:
    """Constants for images or vectors as an array (channels,) or (1,)."""
    shape = (1,) * (1 + axes - values.ndim) + values.shape
    if len(shape) != 1 + axes or any(size != 1 for place, size in enumerate(shape) if place != 1):
        raise ExchangeError(
            [f"has constants of shape {values.shape}; one, or one for each channel, is supported"]
        )
    return values.reshape(-1)


def _constant(value: Constant | QuantizedConstant) -> FloatArray:
    return value.real if isinstance(value, QuantizedConstant) else value.values.astype(np.float64)


def _common_unit(a: float, b: float) -> tuple[tuple[int, int], float]:
    """Multipliers and the unit that give both scales, exactly for simple ratios."""
    greater, less = max(a, b), min(a, b)
    for divisor in range(1, 1 + (1 << MATCHING_BITS)):
        factor = greater / less * divisor
        if factor > LARGEST:
            break
        if factor == round(factor):
            found = (round(factor), divisor)
            return (found if a >= b else found[::-1]), less / divisor
    unit = greater / LARGEST
    return (max(round(a / unit), 1), max(round(b / unit), 1)), unit


def _kernel(node: Node) -> tuple[int, int]:
    kernel = [int(size) for size in node.get("kernel_shape", [])]
    if len(kernel) != 2:
        raise ExchangeError([f"is {len(kernel)}-dimensional; two-dimensional ones are supported"])
    return kernel[0], kernel[1]


def _activation(value: Value) -> Activation:
    match value:
        case Activation():
            return value
        case Pending():
            raise ExchangeError(
                [
                    (
                        f"reads '{value.name}' without its being quantized: put a quantizer "
                        "(Quant, or QuantizeLinear and DequantizeLinear) between"
                    )
                ]
            )
        case Images():
            raise ExchangeError(["reads the model's float input: put a quantizer before"])
        case _:
            raise ExchangeError(["works on a constant"])


def _followed(node: Node, x: Value, follow: Follow, made: Building) -> Value:
    """Put a layer without arithmetic after a layer, or after what is waiting."""
    if not isinstance(x, Pending):
        return made.follow(node.name, _activation(x), follow)
    layer = follow("probe", "input")
    if problems := list(layer.problems([x.result])):
        raise ExchangeError(problems)
    return replace(x, result=layer.output_shape([x.result]), then=(*x.then, follow))
