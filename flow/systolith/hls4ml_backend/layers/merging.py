"""Layers with two inputs: sums, products, maxima, and concatenation."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from systolith.hls4ml_backend.assembly import Assembly
from systolith.hls4ml_backend.fixed_type import fixed_type, type_problem
from systolith.hls4ml_backend.form import Clip
from systolith.hls4ml_backend.tensors import PendingTensor
from systolith.network import (
    MAX_ACT_BITS,
    ActType,
    Add,
    Concat,
    Multiply,
    Requantize,
    Requantized,
    SelectChannels,
    Upsample,
)

__all__ = ["MERGED", "map_concatenate", "map_merge"]


def map_merge(assembly: Assembly, node: Any, values: list[PendingTensor]) -> PendingTensor | None:
    """Map a merge of two tensors; the smaller one is repeated."""
    tensors = [
        assembly.make_tensor(name, value) for name, value in zip(node.inputs, values, strict=True)
    ]
    first, second = tensors
    if first is None or second is None:
        return None
    if first.view.shape != second.view.shape:
        first = _repeat(assembly, node, first, second)
        second = None if first is None else _repeat(assembly, node, second, first)
        if first is None or second is None:
            return None
    if first.shape != second.shape or not np.array_equal(first.view, second.view):
        assembly.refuse(
            node.name, "merges tensors of different shape or order; reshape after merging"
        )
        return None
    return MERGED[str(node.get_attr("op")).lower()](assembly, node, first, second)


def _repeat(
    assembly: Assembly, node: Any, value: PendingTensor, other: PendingTensor
) -> PendingTensor | None:
    """Repeat one pixel over an image, or one channel over all; keep everything else."""
    if value.view.size >= other.view.size:
        return value
    made: Upsample | SelectChannels | None = None
    if value.is_image and other.is_image and value.view.ndim == other.view.ndim:
        name = assembly.claim_name(node.name)
        if value.shape == (other.shape[0], 1, 1):
            made = Upsample(name=name, input=value.source, factors=other.shape[1:])
        elif value.shape == (1, *other.shape[1:]):
            made = SelectChannels(name=name, input=value.source, channels=(0,) * other.shape[0])
    if made is None:
        assembly.refuse(
            node.name,
            f"merges tensors of the shapes {value.view.shape} and {other.view.shape}; one pixel or "
            "one channel is repeated, nothing else",
        )
        return None
    return assembly.add_layer(node.name, made, value, value.view.ndim)


def _add(
    assembly: Assembly, node: Any, first: PendingTensor, second: PendingTensor
) -> PendingTensor | None:
    fraction = max(first.form.fraction, second.form.fraction)
    multipliers = (
        1 << (fraction - first.form.fraction),
        1 << (fraction - second.form.fraction),
    )

    def make(name: str, requantize: Requantize, output: ActType) -> Requantized:
        return Add(
            name=name,
            inputs=(first.source, second.source),
            multipliers=multipliers,
            requantize=requantize,
            output=output,
        )

    return assembly.accumulate(node.name, make, [first, second], fraction, first.view)


def _subtract(
    assembly: Assembly, node: Any, first: PendingTensor, second: PendingTensor
) -> PendingTensor | None:
    negated = assembly.negate(node.name, second)
    return None if negated is None else _add(assembly, node, first, negated)


def _average(
    assembly: Assembly, node: Any, first: PendingTensor, second: PendingTensor
) -> PendingTensor | None:
    total = _add(assembly, node, first, second)
    if total is None:
        return None
    return replace(total, form=replace(total.form, fraction=total.form.fraction + 1))


def _maximum(
    assembly: Assembly, node: Any, first: PendingTensor, second: PendingTensor
) -> PendingTensor | None:
    """Compute ``second + relu(first - second)``."""
    excess = _excess(assembly, node, first, second)
    return None if excess is None else _add(assembly, node, excess, second)


def _minimum(
    assembly: Assembly, node: Any, first: PendingTensor, second: PendingTensor
) -> PendingTensor | None:
    """Compute ``first - relu(first - second)``."""
    excess = _excess(assembly, node, first, second)
    return None if excess is None else _subtract(assembly, node, first, excess)


def _excess(
    assembly: Assembly, node: Any, first: PendingTensor, second: PendingTensor
) -> PendingTensor | None:
    difference = _subtract(assembly, node, first, second)
    if difference is None:
        return None
    return assembly.make_tensor(node.name, difference.then(node.name, Clip(low=0)))


def _multiply(
    assembly: Assembly, node: Any, first: PendingTensor, second: PendingTensor
) -> PendingTensor | None:
    def make(name: str, requantize: Requantize, output: ActType) -> Requantized:
        return Multiply(
            name=name, inputs=(first.source, second.source), requantize=requantize, output=output
        )

    fraction = first.form.fraction + second.form.fraction
    return assembly.accumulate(node.name, make, [first, second], fraction, first.view)


Merging = Callable[[Assembly, Any, PendingTensor, PendingTensor], PendingTensor | None]
MERGED: Mapping[str, Merging] = {
    "add": _add,
    "subtract": _subtract,
    "average": _average,
    "maximum": _maximum,
    "minimum": _minimum,
    "multiply": _multiply,
}
"""Merges, by name in hls4ml."""


def map_concatenate(
    assembly: Assembly, node: Any, values: list[PendingTensor]
) -> PendingTensor | None:
    """Join tensors: the network joins channels, and the view orders the result."""
    precision = node.get_output_variable().type.precision
    if problem := type_problem(precision):
        assembly.refuse(node.name, f"result {problem}")
        return None
    result = fixed_type(precision)
    if result.width > MAX_ACT_BITS:
        assembly.refuse(
            node.name,
            f"joins to {result}; set Precision.result to at most {MAX_ACT_BITS} bits",
        )
        return None
    tensors = [assembly.make_tensor(node.name, value, result) for value in values]
    if (first := tensors[0]) is None or (second := tensors[1]) is None:
        return None
    axis = int(node.get_attr("axis"))
    axis = axis - 1 if axis > 0 else axis
    (channels, *size), (added, *other) = first.shape, second.shape
    if size != other:
        assembly.refuse(
            node.name,
            f"joins tensors of {size[0]}x{size[1]} and {other[0]}x{other[1]} pixels; only tensors "
            "of equal height and width are joined; flatten after joining",
        )
        return None
    moved = second.view + channels * size[0] * size[1]
    try:
        view = np.concatenate([first.view, moved], axis=axis)
    except ValueError:
        shapes = f"{first.view.shape} and {second.view.shape}"
        assembly.refuse(node.name, f"joins the shapes {shapes} along axis {axis}")
        return None
    made = Concat(name=assembly.claim_name(node.name), inputs=(first.source, second.source))
    joined = replace(
        first.form,
        low=min(first.form.low, second.form.low),
        high=max(first.form.high, second.form.high),
    )
    return assembly.join(made, replace(first, form=joined), view, channels + added)
