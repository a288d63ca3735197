"""Layers that move values: channels joined, selected, or made of pixels."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import prod

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.values.value import AppendLayer, QuantizedActivation
from systolith.network import (
    Concat,
    DepthToSpace,
    Flatten,
    IntArray,
    Layer,
    SelectChannels,
    Shape,
    SpaceToDepth,
    Tensor,
)

__all__ = ["join_activations", "moving_layers"]


def moving_layers(places: IntArray, shape: Shape) -> list[AppendLayer] | None:
    """Write moved values as layers.

    Parameters
    ----------
    places : array of int64
        Index of each value in a flattened tensor.
    shape : tuple of int
        Shape of that tensor.

    Returns
    -------
    list of callable, optional
        In the order of the data flow; None if no layers move values like this.
    """
    own = np.arange(prod(shape)).reshape(shape)
    return next((layers for layers in _candidates(places, own) if layers is not None), None)


def _candidates(places: IntArray, own: IntArray) -> Iterator[list[AppendLayer] | None]:
    if places.ndim == own.ndim and places.shape[1:] == own.shape[1:]:
        yield _selection(places, own)
    if own.ndim != 3:
        return
    pixels = own.shape[1:]
    if places.ndim == 1 and places.size % prod(pixels) == 0:
        images = _selection(places.reshape(-1, *pixels), own)
        yield None if images is None else [*images, _flatten]
    if places.ndim != 3:
        return
    block = _ratios(places.shape[1:], pixels)
    if block is not None:
        selected = _selection(_gather_blocks(places, block), own)
        spread: AppendLayer = partial(_blocks, DepthToSpace, block)
        yield None if selected is None else [*selected, spread]
    block = _ratios(pixels, places.shape[1:])
    if block is not None:
        selected = _selection(places, _gather_blocks(own, block))
        gathered: AppendLayer = partial(_blocks, SpaceToDepth, block)
        yield None if selected is None else [gathered, *selected]


def _selection(places: IntArray, own: IntArray) -> list[AppendLayer] | None:
    """Write places as channels of `own`; an empty list if they are all, in their order."""
    numbers = {int(first): channel for channel, first in enumerate(own.reshape(len(own), -1)[:, 0])}
    firsts = places.reshape(len(places), -1)[:, 0]
    channels = [numbers.get(int(first), -1) for first in firsts]
    if min(channels) < 0 or not np.array_equal(own[channels], places):
        return None
    if channels == list(range(len(own))):
        return []
    return [lambda name, source: SelectChannels(name=name, input=source, channels=tuple(channels))]


def _flatten(name: str, source: str) -> Layer:
    return Flatten(name=name, input=source)


def _blocks(
    kind: Callable[..., DepthToSpace | SpaceToDepth],
    block: tuple[int, int],
    name: str,
    source: str,
) -> Layer:
    return kind(name=name, input=source, block=block)


def _gather_blocks(values: IntArray, block: tuple[int, int]) -> IntArray:
    """Make channels of blocks of pixels, those of one position beside each other."""
    (channels, height, width), (rows, columns) = values.shape, block
    parts = values.reshape(channels, height // rows, rows, width // columns, columns)
    return parts.transpose(2, 4, 0, 1, 3).reshape(-1, height // rows, width // columns)


def _ratios(larger: Shape, smaller: Shape) -> tuple[int, int] | None:
    """Find the whole factors of rows and columns between two sizes, not both 1."""
    rows, columns = (a // b for a, b in zip(larger, smaller, strict=True))
    if larger != (rows * smaller[0], columns * smaller[1]):
        return None
    return (rows, columns) if rows * columns > 1 else None


def join_activations(
    node: Node, parts: Sequence[QuantizedActivation], draft: Draft
) -> QuantizedActivation | None:
    """Join channels of quantized activations; None if they have several scales or types.

    Raises
    ------
    ExchangeError
        If their sizes differ.
    """
    parts = [draft.pad_apart(part) for part in parts]
    first = parts[0]
    kinds = {(part.scale, part.origin, part.tensor.type, part.counts) for part in parts}
    if len(kinds) > 1:
        return None
    layer = Concat(name=draft.unused_name(node.name), inputs=tuple(part.layer for part in parts))
    shapes = [part.tensor.shape for part in parts]
    if problems := list(layer.problems(shapes)):
        raise ExchangeError(problems)
    draft.layers.append(layer)
    return QuantizedActivation(
        layer=layer.name,
        tensor=Tensor(layer.output_shape(shapes), first.tensor.type),
        scale=first.scale,
        origin=first.origin,
        counts=first.counts,
    )
