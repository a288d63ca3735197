"""Products of two activations, and the repetition of what is smaller than the other one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.operands import activation_of
from systolith.exchange.layers.plain import make_unweighted
from systolith.exchange.values.layouts import move_elements, shape_of
from systolith.exchange.values.value import AppendLayer, QuantizedActivation, Value
from systolith.network import (
    ActType,
    IntArray,
    Multiply,
    Requantize,
    Requantized,
    SelectChannels,
    Shape,
    Upsample,
)

__all__ = ["multiply_activations", "spread"]


def multiply_activations(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Multiply two activations; axes of length 1 are repeated.

    Raises
    ------
    ExchangeError
        If one has another shape, was reordered, or has no integer for 0.
    """
    seen = [shape_of(value) or () for value in values]
    if len(seen[0]) != len(seen[1]):
        raise ExchangeError.of(f"multiplies shapes {seen[0]} and {seen[1]}; reshape one")
    padded = (draft.pad_apart(_image_of(activation_of(value, draft))) for value in values)
    a, b = map(draft.include_zero, padded)
    if a.places is not None or b.places is not None:
        raise ExchangeError.of(
            "multiplies what was reordered; move the Transpose or Reshape after the product"
        )
    if a.origin or b.origin:
        raise ExchangeError.of("multiplies counts of which no multiple of a half stands for 0")
    images = [(*x.tensor.shape, 1, 1)[: max(3 * (len(seen[0]) > 1), 1)] for x in (a, b)]
    shape = tuple(max(sizes) for sizes in zip(*images, strict=True))
    a, b = (spread(node, x, shape, draft) for x in (a, b))

    def make(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Requantized:
        return Multiply(name=name, inputs=(a.layer, b.layer), requantize=requantize, output=output)

    pending = replace(make_unweighted(node, make, [a, b], a.scale * b.scale), offset=np.zeros(1))
    return move_elements(pending, lambda row: row[:, 0]) if len(seen[0]) == 2 else pending


def _image_of(x: QuantizedActivation) -> QuantizedActivation:
    """Give a sequence as an image of one row, and a vector that was reshaped to one pixel as it is.

    A layer reads a vector as an image of one pixel.
    """
    if x.places is None:
        return x
    own, seen = x.tensor.shape, x.places.shape
    one_row = len(own) == 3 and own[1] == 1 and seen == (own[0], own[2])
    one_pixel = len(own) == 1 and seen in ((*own, 1, 1), (*own, 1))
    ordered = np.array_equal(x.places.ravel(), np.arange(x.places.size))
    return replace(x, places=None) if ordered and (one_row or one_pixel) else x


def spread(node: Node, x: QuantizedActivation, shape: Shape, draft: Draft) -> QuantizedActivation:
    """Repeat an activation over the axes of length 1 that are longer in a shape.

    Raises
    ------
    ExchangeError
        If an axis has another length.
    """
    own = x.tensor.shape
    if len(own) < len(shape):  # of one pixel
        own = (*own, 1, 1)
    if any(length not in (1, wanted) for length, wanted in zip(own, shape, strict=True)):
        raise ExchangeError.of(f"repeats shape {own} to {shape}; each axis needs that length, or 1")
    if own[0] < shape[0]:
        channels = (0,) * shape[0]
        x = draft.append(f"{node.name}_channels", x, _selecting(channels))
    if own[1:] != shape[1:]:
        factors = shape[1] // own[1], shape[2] // own[2]
        x = draft.append(f"{node.name}_pixels", x, _repeating(factors))
    return x


def _selecting(channels: tuple[int, ...]) -> AppendLayer:
    return lambda name, source: SelectChannels(name=name, input=source, channels=channels)


def _repeating(factors: tuple[int, int]) -> AppendLayer:
    return lambda name, source: Upsample(name=name, input=source, factors=factors)
