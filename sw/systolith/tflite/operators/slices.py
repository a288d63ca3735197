"""Slices, splits, gathered and repeated parts: channels are selected, rows and columns cropped."""

from collections.abc import Sequence

import numpy as np

from systolith.network import IntArray
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileTensor
from systolith.tflite.operators.operands import Call

__all__ = [
    "read_broadcast",
    "read_gather",
    "read_slice",
    "read_split",
    "read_split_sizes",
    "read_strided_slice",
    "read_tile",
    "read_unstack",
]


def read_slice(call: Call) -> Activation:
    """SLICE: a beginning and a size for each axis; -1 is all of the rest."""
    source = call.unpadded(0)
    begins, sizes = (call.constant(number).ravel().tolist() for number in (1, 2))
    shape = source.tensor.shape
    ranges = [
        slice(begin, length if size < 0 else begin + size)
        for begin, size, length in zip(begins, sizes, shape, strict=True)
    ]
    return _take(call, source, source.places[tuple(ranges)], call.output)


def read_strided_slice(call: Call) -> Activation:
    """STRIDED_SLICE: as Python's slices, with masks of bounds that do not count."""
    source, options = call.unpadded(0), call.operator.options
    if options.EllipsisMask() or options.NewAxisMask():
        raise TfliteError(["adds axes; slices that keep or drop axes are supported"])
    begins, ends, strides = (call.constant(number).ravel().tolist() for number in (1, 2, 3))
    ranges: list[slice | int] = []
    for axis in range(len(begins)):
        begin = None if options.BeginMask() >> axis & 1 else begins[axis]
        if options.ShrinkAxisMask() >> axis & 1:
            ranges.append(begin or 0)
            continue
        end = None if options.EndMask() >> axis & 1 else ends[axis]
        ranges.append(slice(begin, end, strides[axis]))
    return _take(call, source, source.places[tuple(ranges)], call.output)


def read_split(call: Call) -> tuple[Activation, ...]:
    """SPLIT: equal parts along an axis, which comes first."""
    source, axis = call.unpadded(1), int(call.constant(0).ravel()[0])
    parts = len(call.operator.outputs)
    return _split(call, source, axis, [source.tensor.shape[axis] // parts] * parts)


def read_split_sizes(call: Call) -> tuple[Activation, ...]:
    """SPLIT_V: parts of given sizes; -1 is all of the rest."""
    source, axis = call.unpadded(0), int(call.constant(2).ravel()[0])
    sizes = call.constant(1).ravel().tolist()
    rest = source.tensor.shape[axis] - sum(size for size in sizes if size >= 0)
    return _split(call, source, axis, [size if size >= 0 else rest for size in sizes])


def read_unstack(call: Call) -> tuple[Activation, ...]:
    """UNPACK: the parts of an axis, which they lose."""
    source, axis = call.unpadded(0), call.operator.options.Axis()
    return _split(call, source, axis, [1] * source.tensor.shape[axis])


def read_gather(call: Call) -> Activation:
    """GATHER: parts of one axis, at constant places in any order."""
    source, options = call.unpadded(0), call.operator.options
    if options.BatchDims():
        raise TfliteError(["has batch dimensions: not supported"])
    taken = np.take(source.places, call.constant(1), options.Axis())
    return _take(call, source, taken, call.output)


def read_tile(call: Call) -> Activation:
    """TILE: the tensor repeated along its axes; Keras resizes so, between two RESHAPEs."""
    source, wanted = call.unpadded(0), call.output.shape
    times = [size // own for size, own in zip(wanted, source.tensor.shape, strict=True)]
    return source.view(call.output, np.tile(source.places, times))


def read_broadcast(call: Call) -> Activation:
    """BROADCAST_TO: the tensor repeated along axes of size 1, as TILE does."""
    source = call.unpadded(0)
    return source.view(call.output, np.broadcast_to(source.places, call.output.shape))


def _split(
    call: Call, source: Activation, axis: int, sizes: Sequence[int]
) -> tuple[Activation, ...]:
    bounds = np.cumsum(sizes)[:-1]
    parts = np.split(source.places, bounds, axis)
    return tuple(
        _take(call, source, part, call.graph.tensors[number])
        for number, part in zip(call.operator.outputs, parts, strict=True)
    )


def _take(call: Call, source: Activation, places: IntArray, result: FileTensor) -> Activation:
    """Return the values at some places: in another order, or with layers that select them."""
    if not places.size:
        raise TfliteError([f"takes an empty part of {source.tensor.shape}"])
    viewed = source.view(result, places)
    if np.array_equal(np.sort(places, axis=None), np.arange(np.prod(source.shape))):
        return viewed
    return call.draft.select(source, viewed.places, result)
