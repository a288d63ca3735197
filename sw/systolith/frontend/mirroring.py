"""Any integer network in PyTorch: a second implementation of the golden arithmetic."""

import torch
from torch import Tensor, nn

from systolith.frontend.integer import IntegerGraph
from systolith.frontend.moving import (
    IntegerConcat,
    IntegerDepthToSpace,
    IntegerFlatten,
    IntegerPad2d,
    IntegerSelectChannels,
    IntegerSpaceToDepth,
    IntegerUpsample,
)
from systolith.frontend.operators import (
    IntegerAdd,
    IntegerArgMax,
    IntegerAvgPool2d,
    IntegerConv2d,
    IntegerLinear,
    IntegerMaxPool2d,
    IntegerMultiply,
    IntegerRequantizer,
    IntegerTable,
)
from systolith.network import (
    ActType,
    Add,
    ArgMax,
    AvgPool2d,
    Concat,
    Conv2d,
    DepthToSpace,
    Flatten,
    IntArray,
    IntegerNetwork,
    Layer,
    Linear,
    MaxPool2d,
    Multiply,
    Pad2d,
    Requantize,
    SelectChannels,
    SpaceToDepth,
    Table,
    Upsample,
)
from systolith.quant import Wiring

__all__ = ["mirror"]


def mirror(network: IntegerNetwork) -> IntegerGraph:
    """Build PyTorch modules that compute the same as an integer network.

    Unlike :class:`systolith.frontend.IntegerModel`, which is made from a quantized model, the
    result is made from the contract. So imported and random networks run as well: with zero points,
    floor rounding, wrapping.

    Parameters
    ----------
    network : IntegerNetwork
        Any network; forward() of the result returns the outputs, `trace` every layer.

    Returns
    -------
    IntegerGraph
    """
    return IntegerGraph(
        [Wiring(layer.name, tuple(layer.inputs)) for layer in network.layers],
        [_mirror_layer(network, layer) for layer in network.layers],
        network.input.shape,
        network.input.type,
        network.outputs,
    )


def _mirror_layer(network: IntegerNetwork, layer: Layer) -> nn.Module:
    zeros = [tensor.type.zero_point for tensor in network.inputs_of(layer)]
    match layer:
        case Conv2d():
            return IntegerConv2d(
                _tensor(layer.weight),
                _tensor(layer.bias),
                _requantizer(layer.requantize, layer.output),
                stride=layer.stride,
                padding=layer.padding,
                groups=layer.groups,
                dilation=layer.dilation,
                zero_point=zeros[0],
            )
        case Linear():
            requantizer = _requantizer(layer.requantize, layer.output)
            return IntegerLinear(
                _tensor(layer.weight), _tensor(layer.bias), requantizer, zero_point=zeros[0]
            )
        case Add():
            return IntegerAdd(
                layer.multipliers,
                _requantizer(layer.requantize, layer.output),
                zero_points=(zeros[0], zeros[1]),
                left_shift=layer.left_shift,
                shifts=layer.shifts,
            )
        case Multiply():
            return IntegerMultiply(
                _requantizer(layer.requantize, layer.output), zero_points=(zeros[0], zeros[1])
            )
        case AvgPool2d():
            return IntegerAvgPool2d(
                _requantizer(layer.requantize, layer.output),
                kernel_size=layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                counted=layer.counted,
                zero_point=zeros[0],
            )
        case MaxPool2d():
            return IntegerMaxPool2d(
                kernel_size=layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
            )
        case Table():
            return IntegerTable(_tensor(layer.values), network.inputs_of(layer)[0].type.low)
        case ArgMax():
            return IntegerArgMax()
        case Pad2d():
            fill = layer.fill(network.inputs_of(layer)[0].type)
            return IntegerPad2d(padding=layer.padding, value=fill, edge=layer.edge)
        case Upsample():
            return IntegerUpsample(factors=layer.factors)
        case Flatten():
            return IntegerFlatten()
        case Concat():
            return IntegerConcat()
        case SelectChannels():
            return IntegerSelectChannels(layer.channels)
        case DepthToSpace():
            return IntegerDepthToSpace(layer.sides)
        case SpaceToDepth():
            return IntegerSpaceToDepth(layer.sides)


def _requantizer(spec: Requantize, output: ActType) -> IntegerRequantizer:
    return IntegerRequantizer(
        _tensor(spec.multiplier),
        _tensor(spec.shift),
        output,
        spec.clamp,
        spec.rounding,
        spec.overflow,
        None if spec.offset is None else _tensor(spec.offset),
        None if spec.negative is None else _tensor(spec.negative),
        None if spec.thresholds is None else _tensor(spec.thresholds),
    )


def _tensor(array: IntArray) -> Tensor:
    return torch.from_numpy(array.copy())
