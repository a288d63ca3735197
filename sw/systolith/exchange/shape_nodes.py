"""Nodes that move values, or leave them as they are."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import Node
from systolith.exchange.operands import activation_of
from systolith.exchange.plain_layers import followed
from systolith.exchange.values import Constant, Pending, QuantizedConstant, Value
from systolith.network import Flatten, Shape

__all__ = [
    "flatten",
    "identity",
    "pad",
    "reshape",
    "transpose",
]


def identity(node: Node, values: Sequence[Value], made: Building) -> Value:
    """What changes nothing when a network runs."""
    return values[0]


def flatten(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Flatten, from the channels on."""
    x = values[0]
    if node.get("axis", 1) != 1:
        raise ExchangeError([f"flattens from axis {node.get('axis', 1)}; axis 1 is supported"])
    shape = x.result if isinstance(x, Pending) else activation_of(x).tensor.shape
    if len(shape) == 1:
        return x
    return followed(node, x, lambda name, source: Flatten(name=name, input=source), made)


def reshape(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Reshape or Squeeze that makes vectors of images, or nothing new."""
    x = values[0]
    shape = x.result if isinstance(x, Pending) else activation_of(x).tensor.shape
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


def transpose(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Transpose of constants."""
    order = node.get("perm", None)
    match values[0]:
        case Constant():
            return Constant(values=values[0].values.transpose(order))
        case QuantizedConstant() as found:
            return replace(
                found,
                integers=found.integers.transpose(order),
                scale=found.scale.transpose(order),
            )
        case _:
            raise ExchangeError(
                [
                    (
                        f"reorders the axes of activations by {order}; supported for constants: "
                        "export the model channels first (N, C, H, W)"
                    )
                ]
            )


def pad(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Pad with zeros, before a convolution or an average pool."""
    x = activation_of(values[0])
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
