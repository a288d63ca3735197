"""Maximum and average pools."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from systolith.hls4ml_backend.assembly import Assembly
from systolith.hls4ml_backend.fixed_type import FixedType, fixed_type, type_problem
from systolith.hls4ml_backend.form import Cast, Divide
from systolith.hls4ml_backend.layers.weighted import is_wide, padding_of
from systolith.hls4ml_backend.tensors import PendingTensor
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
]


def is_average(node: Any) -> bool:
    """Whether a pooling layer averages."""
    return str(node.get_attr("pool_op")).lower() == "average"


def map_max_pool(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Map a max pool: cast to the accumulator's type, take maxima."""
    if (read := _read(assembly, node, value)) is None:
        return None
    # A pool's own padding is below every value, but that of a layer before it is zeros.
    if (read := _pad(assembly, node, read, always=read.form.low < 0)) is None:
        return None
    kernel, stride = _window(node, read)
    padding = padding_of(node, read)
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
    own = padding_of(node, replace(read, padding=(0, 0, 0, 0)))
    if (read := _pad(assembly, node, read, always=False)) is None:
        return None
    kernel, stride = _window(node, read)
    padding = padding_of(node, read)
    count = kernel[0] * kernel[1]
    if any(own) and not node.get_attr("count_pad", False):
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


def _pad(
    assembly: Assembly, node: Any, read: PendingTensor, *, always: bool
) -> PendingTensor | None:
    """Make the padding of a layer before a pool a layer, if the pool cannot add it."""
    kernel, _ = _window(node, read)
    wide = "Global" in node.class_name or is_wide(padding_of(node, read), kernel)
    return assembly.pad(node.name, read) if always or wide else read


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
