"""Write layers with weights: Conv, ConvTranspose, Gemm and MatMul, with any attributes."""

from typing import Any

import numpy as np

from systolith.fuzz.graphs.nodes import draw_window
from systolith.fuzz.graphs.quantizers import write_bias, write_weights
from systolith.fuzz.graphs.reference import QONNX_DOMAIN
from systolith.fuzz.graphs.writer import Writer

__all__ = ["write_convolution", "write_dense", "write_transposed_convolution"]

MOST_FILTERS = 5


def write_convolution(
    writer: Writer, x: str, *, same_size: bool = False, filters: int | None = None
) -> str:
    """Write a Conv, of any number of filters or as many as channels, or of `filters`."""
    choices, (channels, height, width) = writer.choices, writer.image(x)
    if writer.qonnx and not same_size and writer.chance(20):
        return _write_lowered(writer, x, filters)
    kernel = [choices.integer(1, min(3, height)), choices.integer(1, min(3, width))]
    wanted, group = filters, 1
    filters = choices.integer(1, MOST_FILTERS)
    options: dict[str, Any] = {}
    if same_size:
        kernel, filters = [choices.one_of([1, 3])] * 2, channels
        options["pads"] = [kernel[0] // 2] * 4
    else:
        options = draw_window(writer, kernel)
    if wanted is not None:
        filters = wanted
    elif writer.chance(20):
        group, filters = channels, channels if same_size else channels * choices.integer(1, 2)
    elif writer.chance(15) and (divisors := [d for d in range(2, channels) if channels % d == 0]):
        group = choices.one_of(divisors)
        filters = -(-filters // group) * group
    if group > 1:
        options["group"] = group
    if writer.rarely() and not same_size:
        options["dilations"] = [choices.integer(1, 2), choices.integer(1, 2)]
    if writer.chance(60):
        options["kernel_shape"] = kernel
    weights = write_weights(writer, (filters, channels // group, *kernel), 0)
    bias = write_bias(writer, filters, _unit(writer, x, weights))
    return writer.add("Conv", x, weights, *bias, **options)


def _write_lowered(writer: Writer, x: str, filters: int | None) -> str:
    """Write a convolution as qonnx lowers it: Im2Col and MatMul between transposes."""
    choices, (channels, height, width) = writer.choices, writer.image(x)
    kernel = [choices.integer(1, min(3, height)), choices.integer(1, min(3, width))]
    # Its Im2Col pads no axis of size 1.
    most = [2 if writer.rarely() else taps - 1 for taps in kernel * 2]
    sizes = (height, width) * 2
    pads = [choices.integer(0, by) * (size > 1) for by, size in zip(most, sizes, strict=True)]
    options: dict[str, Any] = {"kernel_size": kernel, "pad_amount": pads}
    options["stride"] = [choices.integer(1, 2), choices.integer(1, 2)]
    options["dilations"] = [1 + choices.chance(20), 1 + choices.chance(20)]
    filters = filters or choices.integer(1, MOST_FILTERS)
    if writer.chance(20):
        options["depthwise"] = 1  # which values do not depend on
    windows = writer.add("Transpose", x, perm=[0, 2, 3, 1])
    shape = f"(1,{height},{width},{channels})"
    windows = writer.add("Im2Col", windows, domain=QONNX_DOMAIN, input_shape=shape, **options)
    taps = kernel[0] * kernel[1]
    weights = write_weights(writer, (taps * channels, filters), 1)
    product = writer.add("MatMul", windows, weights)
    bias = write_bias(writer, filters, _unit(writer, x, weights))
    if bias and bias[0]:
        product = writer.add("Add", product, *bias)
    return writer.add("Transpose", product, perm=[0, 3, 1, 2])


def _unit(writer: Writer, x: str, weights: str) -> Any:
    return writer.scales.get(x, np.asarray(1.0)) * writer.scales[weights].reshape(-1).squeeze()


def write_transposed_convolution(writer: Writer, x: str) -> str:
    """Write a ConvTranspose."""
    choices, (channels, _, _) = writer.choices, writer.image(x)
    kernel, stride = [choices.integer(1, 4), choices.integer(1, 4)], choices.integer(1, 3)
    filters, group = choices.integer(1, 3), 1
    options: dict[str, Any] = {"strides": [stride, stride]} if stride > 1 else {}
    if writer.chance(50):
        options["pads"] = [choices.integer(0, kernel[place % 2] - 1) for place in range(4)]
        if writer.chance(40):
            options["output_padding"] = [choices.integer(0, stride - 1) for _ in range(2)]
    if writer.chance(25) and channels > 1:
        group = choices.one_of([d for d in range(2, channels + 1) if channels % d == 0])
        options["group"] = group
    if writer.chance(60):
        options["kernel_shape"] = kernel
    if writer.rarely():
        options["dilations"] = [1, 2]
    if writer.rarely():
        options["strides"] = [1, 2]
    if writer.rarely():
        options["auto_pad"] = choices.one_of(["SAME_UPPER", "SAME_LOWER", "VALID"])
        options.pop("pads", None)
    weights = write_weights(writer, (channels, filters, *kernel), 1)
    unit = np.tile(np.broadcast_to(_unit(writer, x, weights), filters), group)
    bias = write_bias(writer, filters * group, unit)
    return writer.add("ConvTranspose", x, weights, *bias, **options)


def write_dense(writer: Writer, x: str) -> str:
    """Write a Gemm, or a MatMul with or without an Add."""
    choices, (features,) = writer.choices, writer.vector(x)
    outputs = choices.integer(2, 7)
    if writer.chance(40):
        if writer.chance(15):
            weights = write_weights(writer, (outputs, features), 0)
            turned = writer.add("Transpose", weights, perm=[1, 0])
            writer.scales[turned], weights = writer.scales[weights], turned
        else:
            weights = write_weights(writer, (features, outputs), 1)
        product = writer.add("MatMul", x, weights)
        bias = write_bias(writer, outputs, _unit(writer, x, weights))
        return writer.add("Add", product, *bias) if bias and bias[0] else product
    options: dict[str, Any] = {"transB": 1} if writer.chance(70) else {}
    if options:
        weights = write_weights(writer, (outputs, features), 0)
    else:
        weights = write_weights(writer, (features, outputs), 1)
    for name in ("alpha", "beta"):
        if writer.rarely():
            options[name] = choices.one_of([1.0, 0.5, 2.0])
    bias = write_bias(writer, outputs, _unit(writer, x, weights))
    if writer.rarely(2):
        rows = choices.one_of([(1, outputs), (1,), (), (len(writer.values[x]), 1)])
        bias = [writer.const(choices.generator().integers(-9, 9, rows) * 4.0)]
    return writer.add("Gemm", x, weights, *bias, **options)
