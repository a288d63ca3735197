"""Conversion of a node's inputs and window attributes to what its handler needs."""

from dataclasses import replace
from math import ceil

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.moves import moving_layers
from systolith.exchange.values.quantizer import FloatArray
from systolith.exchange.values.value import (
    Absent,
    Constant,
    Integers,
    ModelInput,
    PendingFunction,
    PendingLayer,
    PendingTable,
    QuantizedActivation,
    QuantizedConstant,
    Value,
)
from systolith.network import Padding, Shape

__all__ = [
    "activation_of",
    "constant_of",
    "integer_constants_of",
    "is_constant",
    "is_moved_by_layers",
    "ordered_activation_of",
    "read_dilation",
    "read_window",
    "round_up",
    "take_padding",
]


def activation_of(value: Value, draft: Draft) -> QuantizedActivation:
    """Give a value as a quantized activation; the model's input becomes the network's input.

    Raises
    ------
    ExchangeError
        If the value is constant, or is not quantized.
    """
    match value:
        case QuantizedActivation():
            return value
        case PendingLayer():
            return draft.keep_whole(value)
        case ModelInput():
            return draft.read_input(value)
        case PendingTable() | PendingFunction():
            raise ExchangeError.of(
                f"reads '{value.name}', which is not quantized: put a quantizer behind it"
            )
        case Integers():
            raise ExchangeError.of("reads integers: put their DequantizeLinear before")
        case _:
            raise ExchangeError.of("works on a constant; an activation is supported")


def ordered_activation_of(value: Value, draft: Draft) -> QuantizedActivation:
    """Give a value as an activation in the layer's own order: (C, H, W) or (features,).

    Raises
    ------
    ExchangeError
        If the file reordered or reshaped it.
    """
    x = activation_of(value, draft)
    if x in draft.ordered:
        return draft.ordered[x]
    if x.places is not None and draft.lenient:
        # The value replaces a node with a problem, so its order means nothing.
        return replace(x, places=None, tensor=replace(x.tensor, shape=x.places.shape))
    if x.places is not None:
        layers = moving_layers(x.places, x.tensor.shape)
        if layers is not None and not any(x.padding):
            ordered = replace(x, places=None)
            for layer in layers:
                ordered = draft.append(f"{x.layer}_moved", ordered, layer)
            draft.ordered[x] = ordered
            return ordered
        raise ExchangeError.of(
            f"reads shape {x.places.shape}, which is {x.tensor.shape} reordered; the "
            "layer's own order, channels first, is supported: move the Transpose or "
            "Reshape after it"
        )
    return x


def is_moved_by_layers(x: QuantizedActivation) -> bool:
    """Whether layers move the values of an activation as the file does."""
    if x.places is None or any(x.padding):
        return False
    return moving_layers(x.places, x.tensor.shape) is not None


def is_constant(value: Value) -> bool:
    """Whether a value is constant."""
    return isinstance(value, Constant | QuantizedConstant)


def constant_of(value: Value, what: str, *, finite: bool = True) -> FloatArray:
    """Give the real values of a constant.

    Raises
    ------
    ExchangeError
        If the value is not constant or not numeric, or, with `finite`, not finite. `what` names
        it in the message.
    """
    match value:
        case Constant() if value.values.dtype.kind in "OSU":
            raise ExchangeError.of(
                f"has {what} of type {value.values.dtype}; numbers are supported"
            )
        case Constant():
            real = np.asarray(value.values.astype(np.float64))
        case QuantizedConstant():
            real = value.real
        case Absent():
            raise ExchangeError.of(f"leaves out its {what}, which must be given as constants")
        case _:
            raise ExchangeError.of(
                f"has {what} that the model computes; constants are supported: fold them"
            )
    if finite and not np.isfinite(real).all():
        raise ExchangeError.of(f"has {what} that are infinite or no numbers; numbers are supported")
    return real


def integer_constants_of(value: Value, what: str) -> list[int]:
    """Give the integers of a constant, such as a shape.

    Raises
    ------
    ExchangeError
        If the value is not constant.
    """
    return [int(number) for number in constant_of(value, what).reshape(-1)]


def read_dilation(node: Node) -> tuple[int, int]:
    """Read the distances between neighbouring taps.

    Raises
    ------
    ExchangeError
        If they are not two numbers of 1 or more, or combined with an automatic padding, which
        ONNX Runtime does not compute.
    """
    distances = [int(by) for by in node.attributes["dilations"] or [1, 1]]
    if len(distances) != 2 or min(distances) < 1:
        raise ExchangeError.of(
            f"has dilations {distances}; two numbers of 1 or more are supported: height and width"
        )
    if max(distances) > 1 and str(node.attributes["auto_pad"]).startswith("SAME"):
        raise ExchangeError.of(
            f"has auto_pad {node.attributes['auto_pad']} with dilations {distances}, which ONNX "
            "Runtime does not compute; pads are supported"
        )
    return distances[0], distances[1]


def read_window(
    node: Node,
    kernel: tuple[int, int],
    shape: Shape,
    around: Padding = (0, 0, 0, 0),
) -> tuple[tuple[int, int], Padding, list[str]]:
    """Read stride and padding of a node, and their problems.

    `kernel` is the dilated one; `around` is added to the padding.
    """
    strides = [int(by) for by in node.attributes["strides"] or [1, 1]]
    pads = [int(by) for by in node.attributes["pads"] or [0, 0, 0, 0]]
    if len(shape) != 3 or len(strides) != 2 or len(pads) != 4:
        what = f"reads shape {shape} with strides {strides} and pads {pads}"
        return (1, 1), (0, 0, 0, 0), [f"{what}; images (N, C, H, W) are supported"]
    stride = (strides[0], strides[1])
    if min(strides) < 1 or min(pads) < 0:
        what = f"has strides {strides} and pads {pads}"
        return stride, around, [f"{what}; strides of 1 or more and pads of 0 or more are supported"]
    before = (shape[1] + around[0] + around[1], shape[2] + around[2] + around[3])
    match node.attributes["auto_pad"]:
        case "SAME_UPPER" | "SAME_LOWER" as same:
            pads = _same_padding(before, kernel, stride, upper=same == "SAME_UPPER")
        case "VALID":
            pads = [0, 0, 0, 0]
    top, left, bottom, right = pads
    padding = (top + around[0], bottom + around[1], left + around[2], right + around[3])
    return stride, padding, []


def take_padding(
    node: Node, x: QuantizedActivation, kernel: tuple[int, int], draft: Draft
) -> QuantizedActivation:
    """Leave the padding of an activation to a window; `kernel` is the dilated one.

    What the window cannot take becomes a layer: padding as large as the kernel, with its own.
    """
    pads = [int(by) for by in node.attributes["pads"] or [0, 0, 0, 0]]
    if len(pads) != 4 or not any(x.padding):
        return x
    top, bottom, left, right = x.padding
    if node.attributes["auto_pad"] == "NOTSET":
        top, left, bottom, right = top + pads[0], left + pads[1], bottom + pads[2], right + pads[3]
    small = max(top, bottom) < kernel[0] and max(left, right) < kernel[1]
    return x if small else draft.pad_apart(x)


def round_up(
    node: Node, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, shape: Shape
) -> Padding:
    """Add the rows and columns that windows added by ``ceil_mode`` read; `kernel` is dilated.

    As ONNX Runtime and PyTorch, no window begins in the padding at the bottom or at the right.
    """
    if not node.attributes.get("ceil_mode") or node.attributes["auto_pad"].startswith("SAME"):
        return padding
    top, bottom, left, right = padding
    ends = []
    axes = zip(shape[1:], (top, left), (bottom, right), kernel, stride, strict=True)
    for size, before, after, taps, by in axes:
        last = -(-(size + before + after - taps) // by)
        last -= last * by >= size + before
        ends.append(max(after, last * by + taps - size - before))
    return top, ends[0], left, ends[1]


def _same_padding(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], *, upper: bool
) -> list[int]:
    """Compute pads for ``ceil(size / stride)`` windows; an odd one goes after (upper) or before."""
    before, after = [], []
    for length, taps, by in zip(size, kernel, stride, strict=True):
        total = max((ceil(length / by) - 1) * by + taps - length, 0)
        less, more = total // 2, total - total // 2
        before.append(less if upper else more)
        after.append(more if upper else less)
    return [*before, *after]
