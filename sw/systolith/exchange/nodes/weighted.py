"""Nodes with weights: convolutions and fully connected layers."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, prod

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.operands import (
    activation_of,
    constant_of,
    ordered_activation_of,
    read_dilation,
    read_window,
    take_padding,
)
from systolith.exchange.layers.plain import pending_of
from systolith.exchange.layers.structure import Structure, detect_structure, detect_structures
from systolith.exchange.layers.weighted import make_weighted, multiply_pending
from systolith.exchange.values.layouts import shape_of
from systolith.exchange.values.quantizer import FloatArray, Quantizer
from systolith.exchange.values.value import (
    Absent,
    Constant,
    PendingLayer,
    QuantizedActivation,
    QuantizedConstant,
    Value,
)
from systolith.network import (
    ActType,
    Conv2d,
    Flatten,
    IntArray,
    Linear,
    NetworkError,
    Requantize,
    Requantized,
    UngroupedWeights,
    reach_of,
    ungroup_weights,
)

__all__ = ["bias_of", "read_conv", "read_gemm", "read_linear", "weights_of"]


def read_conv(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read a two-dimensional Conv with any number of groups."""
    weight = weights_of(values[1], axis=0)
    if weight.integers.ndim != 4:
        axes = weight.integers.ndim - 2
        raise ExchangeError.of(f"is {axes}-dimensional; two-dimensional ones are supported")
    x = ordered_activation_of(values[0], draft)
    problems = []
    groups = int(node.attributes["group"])
    filters, channels, *kernel = weight.integers.shape
    if groups < 1 or filters % groups:
        problems.append(f"has {filters} filters in {groups} groups, which must be equally large")
    if (named := node.attributes["kernel_shape"]) not in (None, kernel):
        problems.append(f"has kernel_shape {tuple(named)}, but weights of {tuple(kernel)}")
    dilation = read_dilation(node)
    x = take_padding(node, x, reach_of((kernel[0], kernel[1]), dilation), draft)
    stride, padding, window_problems = read_window(
        node, reach_of((kernel[0], kernel[1]), dilation), x.tensor.shape, x.padding
    )
    ExchangeError.raise_if_any(problems + window_problems)
    if x.origin and any(padding):
        x = _requantize_to_zero_point(node, x, draft)
    whole = _detect_and_ungroup(weight.integers, groups)

    def make(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Requantized:
        return Conv2d(
            name=name,
            input=x.layer,
            weight=whole.weight,
            bias=bias,
            requantize=requantize,
            output=output,
            weight_bits=weight.bits,
            stride=stride,
            padding=padding,
            groups=whole.groups,
            dilation=dilation,
            pattern=whole.pattern,
            mask=whole.mask,
        )

    scale = np.broadcast_to(weight.scale.reshape(-1), filters)
    offset = bias_of(values[2], filters, (filters,)) + _origin_offset(x, weight.integers, scale)
    return make_weighted(node.name, make, x.tensor, scale * x.scale, offset)


def _detect_and_ungroup(weight: IntArray, groups: int) -> UngroupedWeights:
    """Detect the sparsity of grouped weights, and write them without groups."""
    if groups > 1 and weight.shape[1] == 1:
        # Engines for depthwise layers have no sparsity.
        return ungroup_weights(weight, groups)
    for structure in detect_structures(weight):
        try:
            return ungroup_weights(weight, groups, structure.pattern, structure.mask)
        except NetworkError:  # strided taps of more than one offset
            continue
    raise AssertionError("the last structure is the dense one")


def _requantize_to_zero_point(
    node: Node, x: QuantizedActivation, draft: Draft
) -> QuantizedActivation:
    """Requantize an activation so that it has a zero point and can be padded."""
    act = x.tensor.type
    zero = act.zero_point - x.origin / x.scale
    if zero != np.rint(zero) or not act.low <= zero <= act.high:
        halved = draft.include_zero(x)
        if halved.origin:
            raise ExchangeError.of("pads with zeros what no integer of its steps stands for")
        return halved
    quantizer = Quantizer(scale=x.scale, type=replace(act, zero_point=int(zero)))
    pending = pending_of(node, replace(x, padding=(0, 0, 0, 0)), draft)
    return draft.quantize_once(x, quantizer, pending)


def read_gemm(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Gemm without transA; alpha and beta become part of scale and bias."""
    alpha, beta = (float(node.attributes[name]) for name in ("alpha", "beta"))
    if not (isfinite(alpha) and isfinite(beta) and alpha):
        raise ExchangeError.of(f"has alpha {alpha:g} and beta {beta:g}; finite ones are supported")
    pending = read_linear(node, values, draft, transposed=not node.attributes["transB"])
    pending = multiply_pending(pending, np.array([alpha]))
    bias = bias_of(values[2], pending.offset.size, (1, pending.offset.size))
    return replace(pending, offset=pending.offset + bias * beta)


def read_linear(
    node: Node, values: Sequence[Value], draft: Draft, *, transposed: bool
) -> PendingLayer:
    """Read a product of vectors and constant weights (filters, features), or transposed ones."""
    weight = weights_of(values[1], axis=1 if transposed else 0)
    if weight.integers.ndim != 2:
        raise ExchangeError.of(
            f"has weights of shape {weight.integers.shape}; a matrix is supported"
        )
    x, order = _features(node, activation_of(values[0], draft), draft)
    given = weight.integers.T if transposed else weight.integers
    integers = np.empty_like(given)
    if given.shape[1] != len(order):
        raise ExchangeError.of(f"has weights for {given.shape[1]} features, but reads {len(order)}")
    integers[:, order] = given
    structure: Structure = detect_structure(integers)

    def make(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Requantized:
        return Linear(
            name=name,
            input=x.layer,
            weight=integers,
            bias=bias,
            requantize=requantize,
            output=output,
            weight_bits=weight.bits,
            pattern=structure.pattern,
            mask=structure.mask,
        )

    scale = np.broadcast_to(weight.scale.reshape(-1), len(integers))
    offset = _origin_offset(x, integers, scale)
    return make_weighted(node.name, make, x.tensor, scale * x.scale, offset)


def _origin_offset(x: QuantizedActivation, integers: IntArray, scale: FloatArray) -> FloatArray:
    """Compute the sum that an activation's origin adds to each channel."""
    return np.asarray(x.origin * scale * integers.reshape(len(integers), -1).sum(axis=1))


def _features(
    node: Node, x: QuantizedActivation, draft: Draft
) -> tuple[QuantizedActivation, IntArray]:
    """Give the input as a vector, and the index of each of the file's features in it."""
    shape = shape_of(x)
    if shape is None or len(shape) != 1:
        raise ExchangeError.of(f"reads images {shape}; vectors are supported: put a Flatten before")
    order = np.arange(prod(shape)) if x.places is None else x.places
    plain = replace(x, places=None)
    if len(x.tensor.shape) == 3:
        flat = draft.append(
            f"{node.name}_flatten",
            plain,
            lambda name, source: Flatten(name=name, input=source),
        )
        return flat, order
    return plain, order


def bias_of(value: Value, channels: int, shape: tuple[int, ...]) -> FloatArray:
    """Give a bias, one number for each channel; zeros if there is none."""
    if isinstance(value, Absent):
        return np.zeros(channels)
    real = constant_of(value, "a bias")
    try:
        fits = np.broadcast_shapes(real.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ExchangeError.of(
            f"has a bias of shape {real.shape} for {channels} channels; one number, or one "
            "for each channel, is supported"
        )
    return np.broadcast_to(real.reshape(-1), channels)


def weights_of(value: Value, axis: int) -> QuantizedConstant:
    """Check weights: quantized, with one scale for all or one for each output channel."""
    match value:
        case QuantizedConstant():
            pass
        case Constant():
            raise ExchangeError.of(
                "its weights are float constants: quantize them (Quant, or DequantizeLinear)"
            )
        case _:
            raise ExchangeError.of(
                "its weights are computed from the images; constant ones are supported"
            )
    scale = value.scale
    if scale.ndim <= axis:
        return value
    others = tuple(place for place in range(scale.ndim) if place != axis)
    least = scale.min(axis=others, keepdims=True)
    if (scale != least).any():
        raise ExchangeError.of(
            f"has weights with scales of shape {value.scale.shape}; one for each output "
            f"channel (axis {axis}) is supported"
        )
    return replace(value, scale=least)
