"""ConvTranspose, as a convolution of all its phases."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.operands import ordered_activation_of
from systolith.exchange.layers.plain import append_layer
from systolith.exchange.layers.weighted import make_weighted
from systolith.exchange.nodes.weighted import bias_of, weights_of
from systolith.exchange.values.value import AppendLayer, PendingLayer, Value
from systolith.network import (
    ActType,
    Conv2d,
    DepthToSpace,
    IntArray,
    Pad2d,
    Padding,
    PhaseWindow,
    Requantize,
    Requantized,
    SelectChannels,
    phase_order,
    split_phases,
    ungroup_weights,
)

__all__ = ["read_conv_transpose"]


def read_conv_transpose(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read a two-dimensional ConvTranspose with any strides and number of groups."""
    weight = weights_of(values[1], axis=1)
    if weight.integers.ndim != 4:
        axes = weight.integers.ndim - 2
        raise ExchangeError.of(f"is {axes}-dimensional; two-dimensional ones are supported")
    x = draft.include_zero(draft.pad_apart(ordered_activation_of(values[0], draft)))
    if x.origin:
        raise ExchangeError.of("reads counts of which no multiple of a half stands for 0")
    groups, strides = int(node.attributes["group"]), _strides(node)
    channels, filters, *kernel = weight.integers.shape
    filters *= groups
    if x.tensor.shape[0] != channels or channels % groups:
        shape = weight.integers.shape
        raise ExchangeError.of(f"has weights {shape} in {groups} groups, reads {x.tensor.shape}")
    windows = _windows(node, x.tensor.shape[1:], kernel, strides)
    padding: Padding = tuple(  # type: ignore[assignment]  # of two windows
        side for window in windows for side in (window.before, window.after)
    )
    phases = split_phases(weight.integers, strides, groups)
    # One bit cannot hold the missing taps of phases, which are 0.
    bits = max(weight.bits, 2) if (phases == 0).any() else weight.bits
    whole = ungroup_weights(phases, groups)

    def make(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Requantized:
        return Conv2d(
            name=name,
            input=x.layer,
            weight=whole.weight,
            bias=bias,
            requantize=requantize,
            output=output,
            weight_bits=bits,
            padding=padding,
            groups=whole.groups,
            pattern=whole.pattern,
            mask=whole.mask,
        )

    scales = np.broadcast_to(weight.scale.reshape(-1), filters // groups)
    own = np.tile(scales, groups), bias_of(values[2], filters, (filters,))
    scale, offset = (
        np.repeat(part.reshape(groups, 1, -1), prod(strides), 1).reshape(-1) for part in own
    )
    pending: Value = make_weighted(node.name, make, x.tensor, scale * x.scale, offset)
    order = phase_order(filters, strides, groups)
    for move in _moves(order, strides, windows):
        assert isinstance(pending, PendingLayer)
        pending = append_layer(node, pending, move, draft)
    assert isinstance(pending, PendingLayer)
    return replace(pending, reordered=True)


def _strides(node: Node) -> tuple[int, int]:
    steps = [int(step) for step in node.attributes["strides"] or [1, 1]]
    if len(steps) != 2 or min(steps) < 1:
        raise ExchangeError.of(f"has strides {steps}; two positive strides are supported")
    return steps[0], steps[1]


def _windows(
    node: Node, image: Sequence[int], kernel: Sequence[int], strides: tuple[int, int]
) -> list[PhaseWindow]:
    """Compute padding and cuts of rows and columns."""
    attributes = node.attributes
    pads = [int(side) for side in attributes["pads"] or [0, 0, 0, 0]]
    added = [int(pixels) for pixels in attributes["output_padding"] or [0, 0]]
    if attributes["kernel_shape"] not in (None, list(kernel)):
        raise ExchangeError.of(f"has kernel_shape {attributes['kernel_shape']}, not {kernel}")
    if str(attributes["auto_pad"]) not in ("NOTSET", "VALID") or min(pads) < 0:
        raise ExchangeError.of("pads automatically, or by less than 0; pads are supported")
    windows = []
    for axis, (size, taps) in enumerate(zip(image, kernel, strict=True)):
        before, after, stride = pads[axis], pads[axis + 2], strides[axis]
        output = (size - 1) * stride + taps + added[axis] - before - after
        window = PhaseWindow.of(size, output, taps, stride, before)
        if output < 1 or window.after >= -(-taps // stride):
            raise ExchangeError.of(f"has output_padding {added} beyond its last input")
        windows.append(window)
    return windows


def _moves(
    order: tuple[int, ...], strides: tuple[int, int], windows: Sequence[PhaseWindow]
) -> list[AppendLayer]:
    """List the layers that make pixels of phases."""
    cut: Padding = tuple(  # type: ignore[assignment]  # of two windows
        -side for window in windows for side in (window.cut_before, window.cut_after)
    )
    moves: list[AppendLayer] = []
    if order != tuple(range(len(order))):
        moves.append(lambda name, source: SelectChannels(name=name, input=source, channels=order))
    if strides != (1, 1):
        moves.append(lambda name, source: DepthToSpace(name=name, input=source, block=strides))
    if any(cut):
        moves.append(lambda name, source: Pad2d(name=name, input=source, padding=cut))
    return moves
