"""What each layer of a model can become."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

from torch import nn

from systolith.compress.check.findings import LayerCheck
from systolith.network import Conv2d, IntegerNetwork, Linear, Shape
from systolith.prune import ChannelGroup, prunable_layers
from systolith.prune.filters_first import filter_weights
from systolith.quant.recognition import FloatLayer, Reading
from systolith.quant.recognition.operations import (
    AddUp,
    AveragePool,
    Convolve,
    DepthToPixels,
    Enlarge,
    Extend,
    Join,
    LookUp,
    MatrixMultiply,
    MaxPool,
    Pad,
    PixelsToDepth,
    Product,
    TakeChannels,
    ToVectors,
)

__all__ = ["describe_layers"]

MOST_GROUP = 16
"""Largest n of the k-out-of-n patterns that are listed."""
_KINDS: Mapping[type, str] = {
    AddUp: "addition",
    Product: "product",
    AveragePool: "average pool",
    LookUp: "table",
    MaxPool: "max pool",
    Pad: "padding",
    Enlarge: "upsampling",
    Extend: "padding",
    Join: "concatenation",
    TakeChannels: "selection of channels",
    DepthToPixels: "depth to space",
    PixelsToDepth: "space to depth",
    ToVectors: "flattening",
}


def describe_layers(
    model: nn.Module,
    reading: Reading,
    groups: Sequence[ChannelGroup],
    network: IntegerNetwork | None,
) -> tuple[LayerCheck, ...]:
    """Describe the layers in the order of their calls; layers with weights that were refused last.

    Parameters
    ----------
    model : nn.Module
    reading : Reading
        What was understood of the model.
    groups : sequence of ChannelGroup
    network : IntegerNetwork or None
        The integer network; None if there is none.
    """
    layers = reading.layers if reading.network is None else reading.network.layers
    rows = [_describe_layer(layer, reading.shapes, groups, network) for layer in layers]
    understood = {row.name for row in rows}
    for name, module in prunable_layers(model).items():
        if name not in understood:
            rows.append(
                _with_weights(name, type(module).__name__, filter_weights(module).shape, 0, groups)
            )
    return tuple(rows)


def _describe_layer(
    layer: FloatLayer,
    shapes: Mapping[str, Shape],
    groups: Sequence[ChannelGroup],
    network: IntegerNetwork | None,
) -> LayerCheck:
    name, operation = layer.qualified_name, layer.operation
    if isinstance(operation, Convolve | MatrixMultiply):
        weight = operation.module.weight
        macs = weight.numel() * prod(shapes[layer.name][1:])
        kind = "Linear" if isinstance(operation, MatrixMultiply) else _kind(operation)
        row = _with_weights(name, kind, weight.shape, macs, groups)
    else:
        row = LayerCheck(name=name, kind=_KINDS[type(operation)])
    form = _integer_form(layer.name, network)
    return replace(row, integer_name=layer.name, integer_form=form)


def _kind(operation: Convolve) -> str:
    conv, kind = operation.module, "Conv2d" if operation.phases is None else "ConvTranspose2d"
    if conv.groups == 1:
        return kind
    return f"{kind}, {'depthwise' if conv.groups == conv.in_channels else f'{conv.groups} groups'}"


def _with_weights(
    name: str,
    kind: str,
    shape: Sequence[int],
    macs: int,
    groups: Sequence[ChannelGroup],
) -> LayerCheck:
    own = [group for group in groups if name in group.producers]
    reasons = dict.fromkeys(group.reason for group in own if group.reason)
    tied = dict.fromkeys(
        producer
        for group in own
        if group.removable
        for producer in group.producers
        if producer != name
    )
    return LayerCheck(
        name=name,
        kind=kind,
        weights=tuple(shape),
        macs=macs,
        group_sizes=tuple(_group_sizes(shape[1])),
        removable=sum(
            sum(unit >= 0 for unit in group.outputs[name]) for group in own if group.removable
        ),
        tied=tuple(tied),
        kept_reason="; ".join(reasons),
    )


def _group_sizes(channels: int) -> Iterator[int]:
    """Yield each n for which k-out-of-n patterns fit the input channels of a filter."""
    yield from (n for n in range(2, MOST_GROUP + 1) if channels % n == 0)


def _integer_form(name: str, network: IntegerNetwork | None) -> str:
    if network is None:
        return ""
    output = str(network.tensors[name])
    match network[name]:
        case Conv2d(weight_bits=bits) | Linear(weight_bits=bits):
            return f"int{bits} -> {output}"
    return f"-> {output}"
