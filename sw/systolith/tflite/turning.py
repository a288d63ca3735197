"""Sequences that a file has as columns, (1, L, 1, C), and the network as rows, or the reverse.

Converters write some one-dimensional operators on rows and others on columns. Both are the same
values in the same order, so the operator is read with its axes exchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from systolith.tflite.activation import Activation
from systolith.tflite.graph import FileGraph, FileOperator, FileTensor

__all__ = ["turn_back", "turn_inputs", "turn_operator", "turns"]

WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
"""Operators whose second input has rows and columns as axes 1 and 2."""
AXES = ("MEAN", "REDUCE_MAX")
SHAPES = {"PAD": 1, "PADV2": 1, "TRANSPOSE_CONV": 0}
"""Inputs that have a number, or a row of numbers, for each axis."""
SIZES = {"RESIZE_NEAREST_NEIGHBOR": 1}
"""Inputs that have a number for the height and one for the width."""
TURNED = {*WEIGHTS, *AXES, *SHAPES, *SIZES, "AVERAGE_POOL_2D", "MAX_POOL_2D"}
NAMES = (("Height", "Width"), ("StrideH", "StrideW"), ("DilationH", "DilationW"))
EXCHANGED = [0, 2, 1, 3]


@dataclass(frozen=True, slots=True)
class _Options:
    """Attributes of an operator with height and width exchanged."""

    options: Any

    def __getattr__(self, name: str) -> Any:
        for pair in NAMES:
            for one, other in (pair, pair[::-1]):
                if one in name:
                    return getattr(self.options, name.replace(one, other))
        return getattr(self.options, name)


def turns(operator: FileOperator, values: Mapping[int, Activation]) -> bool:
    """Whether an operator reads a column that is a row of the network, or the reverse."""
    return operator.kind in TURNED and any(
        _is_turned(values[number]) for number in operator.inputs if number in values
    )


def _is_turned(x: Activation) -> bool:
    shape = x.tensor.shape
    return (
        len(shape) == 4
        and not x.reals
        and shape[1] != shape[2]
        and x.whole_shape[1:] == (shape[2], shape[1])
        and x.is_ordered
    )


def turn_operator(graph: FileGraph, operator: FileOperator) -> FileGraph:
    """Return the graph with all tensors of an operator, and the operator, turned."""
    tensors = list(graph.tensors)
    for place, number in enumerate(operator.inputs):
        if number >= 0:
            tensors[number] = _turn_input(operator.kind, place, tensors[number])
    for number in operator.outputs:
        tensors[number] = _turn_image(tensors[number])
    made = replace(operator, options=_Options(operator.options))
    operators = tuple(made if one is operator else one for one in graph.operators)
    return replace(graph, tensors=tuple(tensors), operators=operators)


def turn_inputs(
    graph: FileGraph, operator: FileOperator, values: Mapping[int, Activation]
) -> dict[int, Activation]:
    """Return the computed inputs of an operator of a turned graph."""
    return {
        number: replace(x, tensor=graph.tensors[number], places=_exchange(x.places))
        for number, x in values.items()
        if number in operator.inputs
    }


def turn_back(x: Activation, tensor: FileTensor) -> Activation:
    """Return a result of a turned operator as the file's tensor."""
    if len(tensor.shape) != 4:
        return replace(x, tensor=tensor)
    return replace(x, tensor=tensor, places=_exchange(x.places))


def _turn_input(kind: str, place: int, tensor: FileTensor) -> FileTensor:
    values = tensor.values
    if values is None:
        return _turn_image(tensor)
    if kind in WEIGHTS and place == 1 and values.ndim == 4:
        turned = _exchange(values)
        return replace(tensor, values=turned, shape=turned.shape)
    if kind in AXES and place == 1:
        return replace(tensor, values=np.array(EXCHANGED, values.dtype)[values])
    if SHAPES.get(kind) == place and len(values) == 4:
        return replace(tensor, values=values[EXCHANGED])
    if SIZES.get(kind) == place:
        return replace(tensor, values=values[::-1])
    return tensor


def _turn_image(tensor: FileTensor) -> FileTensor:
    if len(tensor.shape) != 4:
        return tensor
    batch, height, width, channels = tensor.shape
    return replace(tensor, shape=(batch, width, height, channels))


def _exchange(values: Any) -> Any:
    return values.swapaxes(1, 2) if values.ndim == 4 else values
