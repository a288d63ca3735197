"""Layers without weights: pools, and layers that only move values."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from systolith.hls4ml_backend.assembly import Assembly
from systolith.hls4ml_backend.fixed_type import FixedType, fixed_type, type_problem
from systolith.hls4ml_backend.form import Cast, Divide
from systolith.hls4ml_backend.tensors import PendingTensor
from systolith.hls4ml_backend.weighted import padding_of
from systolith.network import (
    ActType,
    AvgPool2d,
    MaxPool2d,
    NetworkError,
    Requantize,
    Requantized,
    signed_bits,
)

__all__ = [
    "is_average",
    "map_average_pool",
    "map_max_pool",
    "map_reshape",
    "map_transpose",
    "map_zero_padding",
]


def is_average(node: Any) -> bool:
    """Whether a pooling layer averages."""
    return str(node.get_attr("pool_op")).lower() == "average"


def map_max_pool(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Map a max pool: cast to the accumulator's type, take maxima."""
    if (read := _read(assembly, node, value)) is None:
        return None
    kernel, stride = _window(node, read)
    padding = padding_of(node, value)
    if any(value.padding) and read.form.low < 0:
        assembly.refuse(
            node.name, "takes maxima over zeros around values below zero; put a ReLU before them"
        )
        return None
    try:
        made = MaxPool2d(
            name=assembly.claim_name(node.name),
            input=read.source,
            kernel_size=kernel,
            stride=stride,
            padding=padding,
        )
    except NetworkError as error:
        for problem in error.problems:
            assembly.refuse(node.name, problem.partition(": ")[2])
        return None
    return assembly.add_layer(node.name, made, read, _rank(node))


def map_average_pool(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Map an average pool: cast to the accumulator's type, sum, divide towards zero, cast."""
    if (read := _read(assembly, node, value)) is None:
        return None
    kernel, stride = _window(node, read)
    padding = padding_of(node, value)
    count = kernel[0] * kernel[1]
    if any(padding) and not node.get_attr("count_pad", False):
        assembly.refuse(
            node.name, "averages over less than the window at the border; give it no padding"
        )
        return None

    def make(name: str, requantize: Requantize, output: ActType) -> Requantized:
        return AvgPool2d(
            name=name,
            input=read.source,
            kernel_size=kernel,
            stride=stride,
            padding=padding,
            requantize=requantize,
            output=output,
        )

    made = assembly.accumulate(node.name, make, [read], read.form.fraction, _rank(node))
    if made is None:
        return None
    accumulator = fixed_type(node.types["accum_t"].precision)
    spare, form = accumulator.fraction - made.form.fraction, made.form
    if spare < 0 or form.low << spare < accumulator.low or form.high << spare > accumulator.high:
        width = signed_bits(form.low, form.high)
        assembly.refuse(
            node.name,
            f"accum {accumulator} does not hold sums of {count} values, {form.low}..{form.high} "
            f"with {form.fraction} fractional bits; set Precision.accum to at least "
            f"ap_fixed<{width},{width - form.fraction}>",
        )
        return None
    precision = node.get_output_variable().type.precision
    if problem := type_problem(precision):
        assembly.refuse(node.name, f"result {problem}")
        return None
    return made.then(node.name, Divide(count, accumulator, fixed_type(precision)))


def _read(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Make the input a tensor of the accumulator's type."""
    problems = list(_problems(node, value))
    for problem in problems:
        assembly.refuse(node.name, problem)
    if problems:
        return None
    kind: FixedType = fixed_type(node.types["accum_t"].precision)
    return assembly.make_tensor(node.name, value.then(node.name, Cast(kind)))


def _problems(node: Any, value: PendingTensor) -> Iterator[str]:
    rank = 2 if "1D" in node.class_name else 3
    if not value.is_unpadded_image or value.view.ndim != rank:
        yield f"reads a reshaped tensor of shape {value.view.shape}; it needs an image"
    if problem := type_problem(node.types["accum_t"].precision):
        yield f"accum {problem}"


def _window(node: Any, value: PendingTensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """Read kernel and stride."""
    _, height, width = value.shape
    if "Global" in node.class_name:
        return (height, width), (height, width)
    kernel = (node.get_attr("pool_height", 1), node.get_attr("pool_width"))
    return kernel, (node.get_attr("stride_height", 1), node.get_attr("stride_width"))


def _rank(node: Any) -> int:
    """Count the dimensions of the result in hls4ml."""
    if "Global" in node.class_name:
        return len(node.get_output_variable().shape)
    return 2 if "1D" in node.class_name else 3


def map_reshape(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Map a reshape, in the order of hls4ml."""
    if _is_padded(assembly, node, value):
        return None
    shape = tuple(int(size) for size in node.get_output_variable().shape)
    if np.prod(shape) != value.view.size:
        given = f"a tensor of shape {value.view.shape}"
        assembly.refuse(node.name, f"gives {given} the shape {shape}, which has another size")
        return None
    return replace(value, view=value.view.reshape(shape))


def map_transpose(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Map a permutation of axes."""
    if _is_padded(assembly, node, value):
        return None
    perm = tuple(int(axis) for axis in node.get_attr("perm"))
    if sorted(perm) != list(range(value.view.ndim)):
        given = f"a tensor of shape {value.view.shape}"
        assembly.refuse(node.name, f"permutes the axes of {given} by {perm}")
        return None
    return replace(value, view=value.view.transpose(perm))


def map_zero_padding(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Map zero padding: the layer that reads the image adds the zeros."""
    if not value.is_unpadded_image or value.view.ndim == 1:
        assembly.refuse(node.name, "pads a reshaped tensor; it needs an image")
        return None
    sides = ("top", "bottom", "left", "right")
    top, bottom, left, right = (
        int(node.get_attr(f"pad_{side}", 0)) + given
        for side, given in zip(sides, value.padding, strict=True)
    )
    return replace(value, padding=(top, bottom, left, right))


def _is_padded(assembly: Assembly, node: Any, value: PendingTensor) -> bool:
    if any(value.padding):
        assembly.refuse(node.name, "follows zero padding; only convolutions and pools can")
        return True
    return False
