"""Slices and splits: channels are selected, rows and columns cropped or dropped."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from systolith.network import IntArray, Layer, MaxPool2d, Pad2d, SelectChannels
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileTensor
from systolith.tflite.names import name_layer
from systolith.tflite.operators.operands import Call, network_shape

__all__ = ["read_slice", "read_split", "read_split_sizes", "read_strided_slice"]


def read_slice(call: Call) -> Activation:
    """SLICE: a beginning and a size for each axis; -1 is all of the rest."""
    source = call.unpadded(0)
    begins, sizes = (call.constant(number).ravel().tolist() for number in (1, 2))
    shape = source.tensor.shape
    ends = [
        length if size < 0 else begin + size
        for begin, size, length in zip(begins, sizes, shape, strict=True)
    ]
    return _cut(call, source, [*zip(begins, ends, [1] * len(shape), strict=True)], call.output)


def read_strided_slice(call: Call) -> Activation:
    """STRIDED_SLICE: as Python's slices, with masks of bounds that do not count."""
    source, options = call.unpadded(0), call.operator.options
    if options.EllipsisMask() or options.NewAxisMask() or options.ShrinkAxisMask():
        raise TfliteError(["changes the number of axes; slices that keep all axes are supported"])
    begins, ends, strides = (call.constant(number).ravel().tolist() for number in (1, 2, 3))
    ranges = []
    for axis, length in enumerate(source.tensor.shape):
        if axis >= len(begins):
            ranges.append((0, length, 1))
            continue
        begin = None if options.BeginMask() >> axis & 1 else begins[axis]
        end = None if options.EndMask() >> axis & 1 else ends[axis]
        if strides[axis] < 1:
            raise TfliteError([f"has the stride {strides[axis]}; strides from 1 are supported"])
        ranges.append(slice(begin, end, strides[axis]).indices(length))
    return _cut(call, source, ranges, call.output)


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


def _split(
    call: Call, source: Activation, axis: int, sizes: Sequence[int]
) -> tuple[Activation, ...]:
    shape, parts, begin = source.tensor.shape, [], 0
    for number, size in zip(call.operator.outputs, sizes, strict=True):
        ranges = [(0, length, 1) for length in shape]
        ranges[axis] = (begin, begin + size, 1)
        parts.append(_cut(call, source, ranges, call.graph.tensors[number]))
        begin += size
    return tuple(parts)


def _cut(
    call: Call, source: Activation, ranges: Sequence[tuple[int, int, int]], result: FileTensor
) -> Activation:
    """Keep a range of each axis, (begin, end, stride)."""
    batch, *places = (np.arange(*bounds) for bounds in ranges)
    if len(batch) != 1 or not all(map(len, places)):
        raise TfliteError([f"takes {ranges} of {source.tensor.shape}, which is empty"])
    x = source
    if len(places) == 3 and len(source.shape) == 3:
        _, (top, bottom, down), (left, right, across), _ = ranges
        _, height, width = x.shape
        crops = (-top, bottom - height, -left, right - width)
        if any(crops):
            layer = Pad2d(name=_name(call, result), input=x.layer, padding=crops)
            x = _append(call, layer, x)
        if (down, across) != (1, 1):
            strided = MaxPool2d(
                name=_name(call, result),
                input=x.layer,
                kernel_size=(1, 1),
                stride=(down, across),
            )
            x = _append(call, strided, x)
    elif len(places) != 1 or len(source.shape) != 1:
        raise TfliteError([f"takes parts of shape {source.tensor.shape}: not supported"])
    channels = _features(source, places[-1])
    if not np.array_equal(channels, np.arange(source.shape[0])):
        chosen = tuple(map(int, channels))
        select = SelectChannels(name=_name(call, result), input=x.layer, channels=chosen)
        x = replace(_append(call, select, x), flattened=None)
    if x.shape != network_shape(result):
        raise TfliteError([f"gives shape {network_shape(result)}, but the layer gives {x.shape}"])
    return replace(x, tensor=result)


def _features(source: Activation, places: IntArray) -> IntArray:
    """Give the network's numbers of the file's channels, or features of a flattened image."""
    if source.flattened is None or len(places) == source.shape[0]:
        return places
    channels, height, width = source.flattened
    order = np.arange(channels * height * width).reshape(channels, height, width)
    return np.asarray(order.transpose(1, 2, 0).ravel()[places])


def _name(call: Call, result: FileTensor) -> str:
    return name_layer([result.name], call.operator.kind, [one.name for one in call.draft.layers])


def _append(call: Call, layer: Layer, source: Activation) -> Activation:
    if problems := list(layer.problems([source.shape])):
        raise TfliteError(problems)
    call.draft.layers.append(layer)
    shape = layer.output_shape([source.shape])
    return replace(source, layer=layer.name, shape=shape)
