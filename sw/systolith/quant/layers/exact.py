"""Integer arithmetic in floats: what the hardware computes, at the speed of floats."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from systolith.network import ActType
from systolith.quant.layers.requantizing import Scaling, pad
from systolith.quant.layers.weighted import QuantConv2d, QuantLinear
from systolith.quant.layers.weightless import (
    QuantAdd,
    QuantAvgPool2d,
    QuantLayer,
    QuantMultiply,
    QuantTable,
    common_multiple,
)

__all__ = ["compute_integers", "replace_values"]

FLOAT32_INTEGERS, FLOAT64_INTEGERS = 2.0**24, 2.0**53
"""Each type holds all integers up to these."""
LARGEST_BIAS = 1 << 46
CHUNK = 1 << 16
"""Values per chunk, so that intermediate results stay in the processor's cache."""


def compute_integers(
    layer: QuantLayer, inputs: Sequence[Tensor], steps: Sequence[Tensor], input_type: ActType
) -> Tensor:
    """Compute a layer's integers from those of its inputs, exactly, without gradients.

    Sums are computed in float32 if every partial sum stays below 2**24, else in float64. Products
    with multipliers are computed in float64 if they stay below 2**53, else in int64.

    Parameters
    ----------
    layer : QuantLayer
    inputs : sequence of Tensor of float
        Integers; one tensor, two for additions; shape (N, ...).
    steps : sequence of Tensor of float, shape ()
        Steps of the inputs.
    input_type : ActType
        Type of the first input.

    Returns
    -------
    Tensor of float, shape (N, ...)
    """
    x = inputs[0]
    match layer:
        case QuantConv2d() | QuantLinear():
            integers = layer.integers(steps[0])
            weight = integers.weight.double()
            largest = max(-input_type.low, input_type.high)
            sums = largest * float(weight.flatten(1).abs().sum(1).max())
            dtype = torch.float32 if _sums_exactly(x, sums) else torch.float64
            acc = layer.apply_integers(x.to(dtype), weight.to(dtype))
            bound = sums + float(integers.bias.abs().max())
            return _requantize(acc, integers.bias, integers.scaling, bound)
        case QuantAdd():
            multipliers, scaling = layer.integers(steps)
            added = [m * value.double() for m, value in zip(multipliers, inputs, strict=True)]
            return _requantize(added[0] + added[1], None, scaling, 2.0**33).to(x.dtype)
        case QuantMultiply():
            products = inputs[0].double() * inputs[1].double()
            return _requantize(products, None, layer.integers(steps), 2.0**32).to(x.dtype)
        case QuantAvgPool2d():
            scaling = layer.integers(steps[0], x.shape[1:], input_type)
            kernel = layer.kernel_size or (x.shape[2], x.shape[3])
            # divisor_override=1 turns the average into the sum.
            padded = pad(x.double(), layer.padding)
            sums_of_windows = F.avg_pool2d(padded, kernel, layer.stride, divisor_override=1)
            pixels = kernel[0] * kernel[1]
            if layer.counted is not None:
                areas = layer.areas(x.shape[2:]).to(x.device)
                pixels = common_multiple(areas)
                sums_of_windows = sums_of_windows * (pixels // areas)
            bound = float(pixels << input_type.bits)
            return _requantize(sums_of_windows, None, scaling, bound).to(x.dtype)
        case QuantTable():
            table = layer.integers(steps[0], input_type).to(x.dtype)
            return torch.take(table, x.long() - input_type.low)
        case _:
            result: Tensor = layer(*inputs)
            return result


def _sums_exactly(x: Tensor, largest: float) -> bool:
    """Whether float32 is exact; other devices may use transforms or shorter types."""
    return x.device.type == "cpu" and largest < FLOAT32_INTEGERS


def _requantize(acc: Tensor, bias: Tensor | None, scaling: Scaling, bound: float) -> Tensor:
    """Scale, round half up, saturate and clamp accumulators of shape (N, channels, ...)."""
    fixed_point, output = scaling.fixed_point, scaling.output
    if scaling.fixed_point.negative is not None:
        return _requantize_sloped(acc, bias, scaling, bound)
    channels = (-1, *[1] * (acc.ndim - 2))
    half = 1 << fixed_point.shift >> 1
    multiplier = fixed_point.multiplier.to(acc.device)
    offset = torch.full_like(multiplier, half)
    if scaling.offset is not None:
        offset = offset + scaling.offset.to(acc.device)
    if bias is not None:
        # The integer network refuses biases beyond 40 bits.
        offset = offset + bias.clamp(-LARGEST_BIAS, LARGEST_BIAS) * multiplier
    low, high = scaling.clamp or (output.low, output.high)
    low, high = max(low, output.low), min(high, output.high)
    products = bound * float(multiplier.max()) + float(offset.abs().max())
    result = torch.empty_like(acc, dtype=torch.float32)
    rows = max(CHUNK * len(acc) // max(acc.numel(), 1), 1)
    chunks = torch.split(acc, rows), torch.split(result, rows)
    multiplier, offset = multiplier.reshape(channels), offset.reshape(channels)
    if products >= FLOAT64_INTEGERS:
        for some, target in zip(*chunks, strict=True):
            scaled = (some.to(torch.int64) * multiplier + offset) >> fixed_point.shift
            target.copy_(scaled.clamp_(low, high))
        return result
    scale = multiplier.double() * 2.0**-fixed_point.shift
    added = offset.double() * 2.0**-fixed_point.shift
    for some, target in zip(*chunks, strict=True):
        v = some.to(torch.float64, copy=True)
        target.copy_(v.mul_(scale).add_(added).floor_().clamp_(low, high))
    return result


def _requantize_sloped(acc: Tensor, bias: Tensor | None, scaling: Scaling, bound: float) -> Tensor:
    """Requantize accumulators whose multiplier depends on their sign."""
    fixed_point, output = scaling.fixed_point, scaling.output
    assert fixed_point.negative is not None and scaling.offset is None
    channels = (-1, *[1] * (acc.ndim - 2))
    factors = [part.to(acc.device) for part in (fixed_point.multiplier, fixed_point.negative)]
    half = 1 << fixed_point.shift >> 1
    if bias is None:
        bias = torch.zeros_like(factors[0])
    bias = bias.clamp(-LARGEST_BIAS, LARGEST_BIAS).to(acc.device)
    most = (bound + float(bias.abs().max())) * max(float(part.abs().max()) for part in factors)
    dtype = torch.float64 if most + half < FLOAT64_INTEGERS else torch.int64
    positive, negative, bias = (part.to(dtype).reshape(channels) for part in (*factors, bias))
    low, high = scaling.clamp or (output.low, output.high)
    result = torch.empty_like(acc, dtype=torch.float32)
    rows = max(CHUNK * len(acc) // max(acc.numel(), 1), 1)
    for some, target in zip(torch.split(acc, rows), torch.split(result, rows), strict=True):
        sums = some.to(dtype) + bias
        products = sums * torch.where(sums < 0, negative, positive) + half
        if dtype is torch.int64:
            scaled = products >> fixed_point.shift
        else:
            scaled = (products * 2.0**-fixed_point.shift).floor_()
        target.copy_(scaled.clamp_(max(low, output.low), min(high, output.high)))
    return result


def replace_values(differentiable: Tensor, values: Tensor) -> Tensor:
    """Return `values` with the gradient of `differentiable`, a tensor of the same shape."""
    result: Tensor = _ReplaceValues.apply(  # type: ignore[no-untyped-call]
        differentiable, values
    )
    return result  # torch does not annotate apply()


class _ReplaceValues(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, differentiable: Tensor, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
