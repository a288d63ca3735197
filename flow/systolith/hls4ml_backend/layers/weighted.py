"""Layers with weights: dense layers, convolutions and batch normalization."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from systolith.hls4ml_backend.assembly import Assembly
from systolith.hls4ml_backend.fixed_type import fixed_type, type_problem
from systolith.hls4ml_backend.form import Cast
from systolith.hls4ml_backend.layers.weights import (
    FixedArray,
    find_common_scale,
    find_pattern,
    parameter_problems,
    read_parameter,
)
from systolith.hls4ml_backend.tensors import PendingTensor
from systolith.network import (
    ActType,
    Conv2d,
    IntArray,
    NetworkError,
    Padding,
    Requantize,
    Requantized,
    signed_bits,
)

__all__ = [
    "is_wide",
    "map_batch_norm",
    "map_convolution",
    "map_dense",
    "map_depthwise",
    "padding_of",
    "read_dilation",
]

Arrange = Callable[[IntArray], IntArray]


def map_dense(
    assembly: Assembly, node: Any, value: PendingTensor, pattern: str | None
) -> PendingTensor | None:
    """Map a dense layer to a convolution whose kernel is as large as the image."""
    if value.view.ndim != 1:
        assembly.refuse(node.name, f"reads a tensor of shape {value.view.shape}; flatten it before")
        return None
    channels, height, width = value.shape
    if (features := len(node.get_weights("weight").data)) != value.view.size:
        assembly.refuse(node.name, f"has weights for {features} features, reads {value.view.size}")
        return None

    def arrange(weight: IntArray) -> IntArray:
        placed = np.zeros((channels * height * width, weight.shape[1]), dtype=np.int64)
        placed[value.view] = weight
        return placed.T.reshape(-1, channels, height, width)

    return _map_weighted(assembly, node, value, arrange, 1, pattern, "weight")


def map_convolution(
    assembly: Assembly, node: Any, value: PendingTensor, pattern: str | None
) -> PendingTensor | None:
    """Map a convolution; one with one dimension reads an image of one row."""
    return _map_sliding(assembly, node, value, pattern, lambda weight: weight.transpose(3, 2, 0, 1))


def map_depthwise(
    assembly: Assembly, node: Any, value: PendingTensor, pattern: str | None
) -> PendingTensor | None:
    """Map a depthwise convolution; the filters of a channel are neighbours, as in hls4ml."""

    def arrange(weight: IntArray) -> IntArray:
        height, width = weight.shape[:2]
        return weight.reshape(height, width, -1).transpose(2, 0, 1)[:, None]

    return _map_sliding(assembly, node, value, pattern, arrange, groups=value.shape[0])


def map_batch_norm(
    assembly: Assembly, node: Any, value: PendingTensor, pattern: str | None
) -> PendingTensor | None:
    """Map scale and shift of channels to a depthwise convolution of one tap."""
    channels = value.shape[0]
    if not value.is_image:
        assembly.refuse(node.name, "normalizes a reshaped tensor; normalize before reshaping")
        return None
    for name in ("scale", "bias"):
        # Constants that are added or multiplied have one number for each value.
        numbers = np.asarray(node.get_weights(name).data).reshape(-1)
        if numbers.size == value.view.size > channels:
            pixels = numbers.reshape(-1, channels)
            if (pixels != pixels[:1]).any():
                assembly.refuse(
                    node.name,
                    f"has a {name} that differs from pixel to pixel; use one for each channel",
                )
                return None
        elif numbers.size not in (1, channels):
            assembly.refuse(
                node.name, f"needs one {name} for each of {channels} channels, got {numbers.size}"
            )
            return None

    def arrange(weight: IntArray) -> IntArray:
        return np.broadcast_to(weight.reshape(-1)[:channels], (channels,)).reshape(-1, 1, 1, 1)

    return _map_weighted(
        assembly, node, value, arrange, value.view, pattern, "scale", groups=channels
    )


def _map_sliding(
    assembly: Assembly,
    node: Any,
    value: PendingTensor,
    pattern: str | None,
    order: Arrange,
    groups: int = 1,
) -> PendingTensor | None:
    rank = 2 if "1D" in node.class_name else 3
    if problems := list(_sliding_problems(node, value, rank)):
        for problem in problems:
            assembly.refuse(node.name, problem)
        return None

    def arrange(weight: IntArray) -> IntArray:
        return order(weight[None] if rank == 2 else weight)

    dilation = read_dilation(node)
    kernel = (node.get_attr("filt_height", 1), node.get_attr("filt_width"))
    reach = (1 + dilation[0] * (kernel[0] - 1), 1 + dilation[1] * (kernel[1] - 1))
    if any(value.padding) and is_wide(padding_of(node, value), reach):
        padded = assembly.pad(node.name, value)
        if padded is None:
            return None
        value = padded

    return _map_weighted(
        assembly,
        node,
        value,
        arrange,
        rank,
        pattern,
        "weight",
        groups=groups,
        stride=(node.get_attr("stride_height", 1), node.get_attr("stride_width")),
        padding=padding_of(node, value),
        dilation=dilation,
    )


def read_dilation(node: Any) -> tuple[int, int]:
    """Read the distance of taps: hls4ml has one number for both axes, or one for each."""
    both = int(node.get_attr("dilation") or 1)
    width = int(node.get_attr("dilation_width") or both)
    if "1D" in node.class_name:
        return 1, width
    return int(node.get_attr("dilation_height") or both), width


def is_wide(padding: Padding, reach: tuple[int, int]) -> bool:
    """Whether padding is as wide as a window, which no layer with windows can add by itself."""
    top, bottom, left, right = padding
    return max(top, bottom) >= reach[0] or max(left, right) >= reach[1]


def _sliding_problems(node: Any, value: PendingTensor, rank: int) -> Iterator[str]:
    if not value.is_unpadded_image or value.view.ndim != rank:
        yield f"reads a reshaped tensor of shape {value.view.shape}; it needs an image"


def padding_of(node: Any, value: PendingTensor) -> Padding:
    """Add the padding of a layer and of its input: top, bottom, left, right."""
    own = [node.get_attr(f"pad_{side}", 0) for side in ("top", "bottom", "left", "right")]
    top, bottom, left, right = (int(a) + b for a, b in zip(own, value.padding, strict=True))
    return top, bottom, left, right


def _map_weighted(
    assembly: Assembly,
    node: Any,
    value: PendingTensor,
    arrange: Arrange,
    view: IntArray | int,
    pattern: str | None,
    name: str,
    *,
    groups: int = 1,
    stride: tuple[int, int] = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> PendingTensor | None:
    variables = {name: node.get_weights(name), "bias": node.get_weights("bias")}
    problems = [
        problem
        for key, variable in variables.items()
        for problem in parameter_problems(variable, key)
    ]
    accum = node.types.get("accum_t")
    if accum is not None and (problem := type_problem(accum.precision)):
        problems.append(f"accum {problem}")
    for problem in problems:
        assembly.refuse(node.name, problem)
    if problems:
        return None
    weight, bias = (read_parameter(variable) for variable in variables.values())
    scaled = find_common_scale(weight, bias, value.form.fraction)
    if isinstance(scaled, str):
        assembly.refuse(node.name, scaled)
        return None
    integers, biases, bits = FixedArray(arrange(scaled[0].values), scaled[0].fraction), *scaled[1:]
    filters = len(integers.values)
    biases = np.broadcast_to(biases.reshape(-1)[:filters], (filters,)).copy()
    try:
        # Engines for depthwise layers have no sparsity.
        wanted = "dense" if pattern is None and groups != 1 else pattern
        found_pattern, mask = find_pattern(integers.values, wanted)
    except NetworkError as error:
        for problem in error.problems:
            assembly.refuse(node.name, problem)
        return None

    def make(name: str, requantize: Requantize, output: ActType) -> Requantized:
        return Conv2d(
            name=name,
            input=value.source,
            weight=integers.values,
            bias=biases,
            requantize=requantize,
            output=output,
            weight_bits=bits,
            stride=stride,
            padding=padding,
            groups=groups,
            pattern=found_pattern,
            mask=mask,
            dilation=dilation,
        )

    fraction = integers.fraction + value.form.fraction
    made = assembly.accumulate(node.name, make, [value], fraction, view)
    return made if made is None or accum is None else _check_accumulators(assembly, node, made)


def _check_accumulators(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor:
    """Refuse an accumulator type that rounds or saturates; a wrap is one cast of the whole sum."""
    kind = fixed_type(node.types["accum_t"].precision)
    form = value.form
    width = signed_bits(form.low, form.high)
    enough = f"ap_fixed<{width},{width - form.fraction}>"
    if kind.fraction < form.fraction:
        assembly.refuse(
            node.name,
            f"accum {kind} drops bits of products, which have {form.fraction} fractional bits; "
            f"set Precision.accum to 'auto' or at least {enough}",
        )
        return value
    spare = kind.fraction - form.fraction
    if kind.wraps or (kind.low <= form.low << spare and form.high << spare <= kind.high):
        return value.then(node.name, Cast(kind))
    assembly.refuse(
        node.name,
        f"accum {kind} saturates between additions, whose sums are {form.low}..{form.high} "
        f"with {form.fraction} fractional bits; set Precision.accum to 'auto' or at least {enough}",
    )
    return value
