"""Values that only move: their places are followed through any calls, then written as layers.

A tensor whose values are their own places takes part in the user's own calls, so that any spelling
of a slice, a shuffle or a rearrangement of pixels is understood.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor, fx

from systolith.network import Shape
from systolith.quant.layers.weightless import space_to_depth
from systolith.quant.recognition.operations import (
    DepthToPixels,
    Operation,
    PixelsToDepth,
    TakeChannels,
    ToVectors,
)
from systolith.trace.replay import run_node

__all__ = ["MovedValues", "moved_shape", "moving_layers"]


@dataclass(slots=True)
class MovedValues:
    """Nodes whose values are those of a layer at other places, some left out or repeated.

    Attributes
    ----------
    places : dict of fx.Node to Tensor
        Number of each value in the layer's output, in the shape of one image.
    parts : dict of fx.Node to list of Tensor
        Parts that a call such as ``chunk`` returns, as batches of places.
    mixed : dict of fx.Node to tuple
        Values of several images in one row, as batches of places, the number of images, and the
        call that mixed them. Only calls that move values may read them.
    """

    places: dict[fx.Node, Tensor] = field(default_factory=dict)
    parts: dict[fx.Node, list[Tensor]] = field(default_factory=dict)
    mixed: dict[fx.Node, tuple[Tensor, int, fx.Node]] = field(default_factory=dict)

    def follow(self, node: fx.Node, shape: Shape, given: Tensor, layer: Shape) -> bool:
        """Move places as a call moves values.

        Parameters
        ----------
        node : fx.Node
            A call with one input that moves values.
        shape : tuple of int
            Shape of one image of the node that it reads.
        given : Tensor
            Value of the node that it reads, for its number of images.
        layer : tuple of int
            Shape of the layer whose values are moved.

        Returns
        -------
        bool
            Whether the places are known.
        """
        (first,) = node.all_input_nodes
        total, images, mixing = prod(layer), len(given), node
        if first in self.mixed:
            batch, images, mixing = self.mixed[first]
            moved = run_node(node, {first: batch}.__getitem__, images)
        elif first in self.parts:
            number = node.args[1]
            assert isinstance(number, int)
            moved = self.parts[first][number]
        else:
            own = self.places.get(first)
            own = torch.arange(total).reshape(shape) if own is None else own
            offsets = total * torch.arange(images).reshape(-1, *[1] * own.ndim)
            # In order in memory, as `contiguous` leaves it: a view gives what it gives of values.
            batch = (own + offsets).contiguous()
            moved = run_node(node, {first: batch}.__getitem__, images)
        if not isinstance(moved, Tensor):
            self.parts[node] = list(moved)
            return True
        if moved.ndim > 1 and len(moved) == images:
            offsets = total * torch.arange(images).reshape(-1, *[1] * (moved.ndim - 1))
            if bool((moved == moved[:1] + offsets).all()):
                self.places[node] = moved[0]
                return True
        self.mixed[node] = moved, images, mixing
        return True

    def stays(self, node: fx.Node, layer: Shape) -> bool:
        """Whether all values of the layer are in their order."""
        return torch.equal(self.places[node].flatten(), torch.arange(prod(layer)))


def moving_layers(places: Tensor, layer: Shape) -> list[Operation] | None:
    """Write moved values as layers.

    Parameters
    ----------
    places : Tensor
        Number of each value in the output of `layer`, in the shape of one image.
    layer : tuple of int
        Shape of that output.

    Returns
    -------
    list of Operation, optional
        In the order of the data flow; None if there is no such layer.
    """
    own = torch.arange(prod(layer)).reshape(layer)
    return next((layers for layers in _candidates(places, own) if layers is not None), None)


def moved_shape(operation: Operation, shape: Shape) -> Shape:
    """Shape of the result of a layer of :func:`moving_layers`."""
    match operation:
        case TakeChannels(channels=channels):
            return len(channels), *shape[1:]
        case DepthToPixels(block=(rows, columns)):
            return shape[0] // (rows * columns), shape[1] * rows, shape[2] * columns
        case PixelsToDepth(block=(rows, columns)):
            return shape[0] * rows * columns, shape[1] // rows, shape[2] // columns
        case _:
            return (prod(shape),)


def _candidates(places: Tensor, own: Tensor) -> Iterator[list[Operation] | None]:
    if places.shape[1:] == own.shape[1:]:
        yield _selection(places, own)
    if own.ndim != 3:
        return
    if places.ndim == 1 and len(places) % prod(own.shape[1:]) == 0:
        images = _selection(places.reshape(-1, *own.shape[1:]), own)
        yield None if images is None else [*images, ToVectors()]
    if places.ndim != 3:
        return
    block = _ratios(places.shape[1:], own.shape[1:])
    if block is not None:
        selected = _selection(space_to_depth(places[None], block)[0], own)
        yield None if selected is None else [*selected, DepthToPixels(block)]
    block = _ratios(own.shape[1:], places.shape[1:])
    if block is not None:
        selected = _selection(places, space_to_depth(own[None], block)[0])
        yield None if selected is None else [PixelsToDepth(block), *selected]


def _selection(places: Tensor, own: Tensor) -> list[Operation] | None:
    """Write places as channels of `own`; an empty list if they are all, in their order."""
    firsts = own.reshape(len(own), -1)[:, 0].tolist()
    numbers = {place: channel for channel, place in enumerate(firsts)}
    channels = [numbers.get(place, -1) for place in places.reshape(len(places), -1)[:, 0].tolist()]
    if min(channels) < 0 or not torch.equal(own[channels], places):
        return None
    return [] if channels == list(range(len(own))) else [TakeChannels(tuple(channels))]


def _ratios(larger: Sequence[int], smaller: Sequence[int]) -> tuple[int, int] | None:
    """Find the whole factors of rows and columns between two sizes, not both 1."""
    rows, columns = (a // b for a, b in zip(larger, smaller, strict=True))
    if larger[0] != rows * smaller[0] or larger[1] != columns * smaller[1]:
        return None
    return (rows, columns) if rows * columns > 1 else None
