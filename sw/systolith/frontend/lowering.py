"""Lowering: quantized models as integer networks."""

import numpy as np
from torch import Tensor

from systolith.network import (
    INPUT,
    Add,
    AvgPool2d,
    BoolArray,
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
    NetworkError,
    Pad2d,
    Pattern,
    Requantize,
    SelectChannels,
    Shape,
    SpaceToDepth,
    Table,
    Upsample,
    ungroup_weights,
)
from systolith.network import (
    Tensor as TypedShape,
)
from systolith.quant import (
    QuantAdd,
    QuantAvgPool2d,
    QuantConcat,
    QuantConv2d,
    QuantDepthToSpace,
    QuantFlatten,
    QuantizedModel,
    QuantLinear,
    QuantMaxPool2d,
    QuantMultiply,
    QuantPad2d,
    QuantSelectChannels,
    QuantSpaceToDepth,
    QuantTable,
    QuantUpsample,
    Scaling,
    Wiring,
)
from systolith.quant.layers.transposed import QuantConvTranspose2d

__all__ = ["lower"]


def lower(
    model: QuantizedModel, input_shape: Shape | None = None, *, name: str = "network"
) -> IntegerNetwork:
    """Convert a quantized model to an integer network, the contract with the hardware.

    Weights are ``round(w / step)``, 0 where pruned; biases are at accumulator scale. All channels
    of a layer share one shift, and their multipliers have up to 16 bits;
    :func:`systolith.quant.to_fixed_point` states the error and
    :class:`systolith.quant.WeightQuantizer` bounds it. ReLU is an unsigned output, ReLU6 a clamp.
    :func:`ungroup_weights` rewrites grouped convolutions.

    Parameters
    ----------
    model : QuantizedModel
        From :func:`systolith.quant.prepare`, trained or not.
    input_shape : Shape, optional
        (C, H, W) or (features,) of one image. Default: that of the calibration images.
    name : str
        Name of the network.

    Returns
    -------
    IntegerNetwork
        Layers have the names of the model's layers, with underscores for dots.

    Raises
    ------
    NetworkError
        If parameters are NaN or infinite, or if the result breaks the contract, for instance with
        an accumulator of more than 47 bits. The problems of all layers are listed.
    """
    model.check_numbers()
    shapes = model.shapes(input_shape)
    problems: list[str] = []
    layers: list[Layer] = []
    for wiring in model.wirings:
        try:
            layers.append(_lower_layer(model, wiring, shapes[wiring.inputs[0]]))
        except NetworkError as error:
            problems += error.problems
    NetworkError.raise_if_any(problems)
    return IntegerNetwork(
        name=name,
        input=TypedShape(shapes[INPUT], model.input_quantizer.act_type),
        layers=tuple(layers),
        outputs=model.outputs,
    )


def _weight_bits(layer: QuantConv2d, weight: Tensor) -> int:
    """Bit width of stored weights: one bit cannot hold the missing taps of phases, which are 0."""
    bits = layer.weight_quantizer.bits
    zeros = isinstance(layer, QuantConvTranspose2d) and bool((weight == 0).any())
    return max(bits, 2) if zeros else bits


def _lower_layer(model: QuantizedModel, wiring: Wiring, input_shape: Shape) -> Layer:
    layer = model.layer(wiring.name)
    steps = [model.quantizer(source).step for source in wiring.inputs]
    types = [model.quantizer(source).act_type for source in wiring.inputs]
    name, source = wiring.name, wiring.inputs[0]
    match layer:
        case QuantConv2d():
            conv = layer.integers(steps[0])
            pattern, mask = layer.network_mask()
            whole = ungroup_weights(
                _array(conv.weight), layer.groups, pattern, _mask(pattern, mask)
            )
            return Conv2d(
                name=name,
                input=source,
                weight=whole.weight,
                bias=_array(conv.bias),
                requantize=_requantize(conv.scaling),
                output=conv.scaling.output,
                weight_bits=_weight_bits(layer, conv.weight),
                stride=layer.stride,
                padding=layer.padding,
                groups=whole.groups,
                dilation=layer.dilation,
                pattern=whole.pattern,
                mask=whole.mask,
            )
        case QuantLinear():
            linear = layer.integers(steps[0])
            return Linear(
                name=name,
                input=source,
                weight=_array(linear.weight),
                bias=_array(linear.bias),
                requantize=_requantize(linear.scaling),
                output=linear.scaling.output,
                weight_bits=layer.weight_quantizer.bits,
                pattern=layer.pattern,
                mask=_mask(layer.pattern, layer.mask),
            )
        case QuantAdd():
            multipliers, scaling = layer.integers(steps)
            return Add(
                name=name,
                inputs=(wiring.inputs[0], wiring.inputs[1]),
                multipliers=multipliers,
                requantize=_requantize(scaling),
                output=scaling.output,
            )
        case QuantMultiply():
            scaling = layer.integers(steps)
            return Multiply(
                name=name,
                inputs=(wiring.inputs[0], wiring.inputs[1]),
                requantize=_requantize(scaling),
                output=scaling.output,
            )
        case QuantAvgPool2d():
            scaling = layer.integers(steps[0], input_shape, types[0])
            return AvgPool2d(
                name=name,
                input=source,
                requantize=_requantize(scaling),
                output=scaling.output,
                kernel_size=layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                counted=layer.counted,
            )
        case QuantMaxPool2d():
            return MaxPool2d(
                name=name,
                input=source,
                kernel_size=layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
            )
        case QuantTable():
            return Table(
                name=name,
                input=source,
                values=_array(layer.integers(steps[0], types[0])),
                output=layer.output.act_type,
            )
        case QuantPad2d():
            return Pad2d(name=name, input=source, padding=layer.padding, edge=layer.edge)
        case QuantUpsample():
            return Upsample(name=name, input=source, factors=layer.factors)
        case QuantFlatten():
            return Flatten(name=name, input=source)
        case QuantConcat():
            return Concat(name=name, inputs=wiring.inputs)
        case QuantSelectChannels():
            return SelectChannels(name=name, input=source, channels=tuple(layer.channels.tolist()))
        case QuantDepthToSpace():
            return DepthToSpace(name=name, input=source, block=layer.block)
        case QuantSpaceToDepth():
            return SpaceToDepth(name=name, input=source, block=layer.block)


def _requantize(scaling: Scaling) -> Requantize:
    negative = scaling.fixed_point.negative
    return Requantize(
        multiplier=_array(scaling.fixed_point.multiplier),
        shift=np.array([scaling.fixed_point.shift]),
        clamp=scaling.clamp,
        offset=None if scaling.offset is None else _array(scaling.offset),
        negative=None if negative is None else _array(negative),
    )


def _mask(pattern: Pattern, mask: Tensor) -> BoolArray | None:
    return None if pattern.is_dense else np.asarray(mask.cpu().numpy(), dtype=np.bool_)


def _array(integers: Tensor) -> IntArray:
    return np.asarray(integers.cpu().numpy(), dtype=np.int64)
