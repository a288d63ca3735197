"""Comparison of the layers that were read from a float model with the model itself.

The layers are evaluated in floats, from their list alone, without the recording.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from systolith.network import INPUT
from systolith.quant.layers.requantizing import pad
from systolith.quant.layers.transposed import phase_bias, phase_weights
from systolith.quant.layers.weightless import depth_to_space, space_to_depth
from systolith.quant.recognition.folding import fold_batch_norm
from systolith.quant.recognition.operations import (
    AddUp,
    AveragePool,
    Convolve,
    DepthToPixels,
    Enlarge,
    Extend,
    FloatLayer,
    FloatNetwork,
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
from systolith.quant.recognition.sequences import image_batch
from systolith.trace import evaluating, record

__all__ = ["comparison_problems", "evaluate_layers"]

TOLERANCE = 1e-4
"""Relative to a layer's largest value; float32 sums in another order differ far less."""
_LAST, _HALVED = 3, 1


def comparison_problems(model: nn.Module, network: FloatNetwork, images: Tensor) -> Iterator[str]:
    """Find the first layer that computes something else than the model.

    Parameters
    ----------
    model : nn.Module
        Runs once without being recorded, and a second time only if outputs differ.
    network : FloatNetwork
        Layers of the model.
    images : Tensor of float, shape (N, *input_shape)
        The last three are used, and the first at half its brightness: other images than those
        that were recorded, if there are more.

    Yields
    ------
    str
        The first layer that differs, and by how much.
    """
    weight = next((p for p in model.parameters() if p.is_floating_point()), images)
    chosen = torch.cat([images[-_LAST:], images[:_HALVED] / 2]).to(weight)
    values = evaluate_layers(network.layers, chosen)
    for layer in network.layers:
        if not torch.isfinite(values[layer.name]).all():
            yield f"{layer.title}: gives infinite values, or none, for the calibration images"
            return
    if not network.notes:  # what was left out is part of what the model returns
        try:
            with evaluating(model):
                expected = model(chosen.clone())
        except Exception as error:
            yield (
                f"forward() (model): needs to take any number of images, but with {len(chosen)} it "
                f"raises {type(error).__name__}: {error}"
            )
            return
        computed = tree_leaves(network.returned.arrange(values))
        pairs = zip(computed, tree_leaves(expected), strict=True)
        if all(_difference(one, wanted) <= TOLERANCE for one, wanted in pairs):
            return
    problems = list(_first_difference(model, network, chosen, values))
    if not (problems or network.notes):
        problems = ["forward() (model): gives other outputs each time for the same images"]
    yield from problems


def evaluate_layers(layers: Sequence[FloatLayer], images: Tensor) -> dict[str, Tensor]:
    """Compute every layer of a float network, and its input, for images of shape (N, ...)."""
    values = {INPUT: image_batch(images)}
    with torch.no_grad():
        for layer in layers:
            values[layer.name] = _evaluate(layer, [values[name] for name in layer.inputs])
    return values


def _evaluate(layer: FloatLayer, inputs: Sequence[Tensor]) -> Tensor:
    (x, *others) = inputs
    match layer.operation:
        case Convolve(module=conv, phases=(int(), int()) as phases, padding=padding):
            if layer.norm is not None:
                conv = fold_batch_norm(conv, layer.norm)
            weight = phase_weights(conv.weight, phases, conv.groups)
            bias = None if conv.bias is None else phase_bias(conv.bias, phases, conv.groups)
            y = F.conv2d(pad(x, padding), weight, bias, groups=conv.groups)
            return layer.activation(y, layer.slope)
        case Convolve(module=conv, padding=padding):
            stride = (conv.stride[0], conv.stride[1])
            dilation = (conv.dilation[0], conv.dilation[1])
            padded = pad(x, padding)
            y = F.conv2d(padded, conv.weight, conv.bias, stride, 0, dilation, conv.groups)
        case MatrixMultiply(module=linear):
            y = F.linear(x, linear.weight, linear.bias)
        case AddUp():
            y = x + others[0]
        case Product():
            y = x * others[0]
        case AveragePool():
            y = _average(layer.operation, x)
        case MaxPool(kernel_size=kernel, stride=stride, padding=padding, dilation=dilation):
            y = F.max_pool2d(pad(x, padding, -torch.inf), kernel, stride, dilation=dilation)
        case LookUp(function=function):
            y = function(x)
        case ToVectors():
            y = x.flatten(1)
        case Join():
            y = torch.cat(list(inputs), 1)
        case TakeChannels(channels=channels):
            y = x[:, list(channels)]
        case DepthToPixels(block=block):
            y = depth_to_space(x, block)
        case PixelsToDepth(block=block):
            y = space_to_depth(x, block)
        case Pad(padding=padding):
            y = pad(x, padding)
        case Extend(padding=(top, bottom, left, right)):
            y = F.pad(x, (left, right, top, bottom), mode="replicate")
        case Enlarge(factors=factors):
            x = x.reshape(*x.shape[:2], *(x.shape[2:] or (1, 1)))
            y = F.interpolate(x, scale_factor=factors, mode="nearest-exact")
        case _:
            raise AssertionError(f"{layer.operation} has been folded or fused")
    if (norm := layer.norm) is not None:
        assert norm.running_mean is not None
        parts = norm.running_mean, norm.running_var, norm.weight, norm.bias
        y = F.batch_norm(y, *parts, eps=norm.eps)
    return layer.activation(y, layer.slope)


def _average(pool: AveragePool, x: Tensor) -> Tensor:
    kernel = pool.kernel_size or (x.shape[2], x.shape[3])
    if pool.divisor is not None or pool.counted is None:
        padded = pad(x, pool.padding)
        return F.avg_pool2d(padded, kernel, pool.stride, divisor_override=pool.divisor)
    top, bottom, left, right = (
        added - part for added, part in zip(pool.padding, pool.counted, strict=True)
    )
    ones = pad(pad(torch.ones_like(x), pool.counted, 1.0), (top, bottom, left, right))
    sums, areas = (F.avg_pool2d(y, kernel, pool.stride) for y in (pad(x, pool.padding), ones))
    return sums / areas


def _first_difference(
    model: nn.Module, network: FloatNetwork, images: Tensor, values: Mapping[str, Tensor]
) -> Iterator[str]:
    recording = record(model, images, len(images))
    expected = {node.name: value for node, value in recording.values.items()}
    outputs = {layer.name: layer.reference for layer in network.layers}
    outputs |= {tensor.layer: tensor.node for tensor in network.returned.tensors if tensor.node}
    for layer in network.layers:
        reference = outputs[layer.name]
        if not reference:
            continue
        if reference not in expected:
            yield f"{layer.title}: needs to be computed for all images, but is not for some"
            return
        difference = _difference(values[layer.name], expected[reference])
        if not difference <= TOLERANCE:
            yield (
                f"{layer.title}: is the first layer that was understood wrongly: its values differ "
                f"by {difference:.2g} of the largest; the model may depend on chance, or on what "
                "it computed before"
            )
            return
    yield from recording.problems


def _difference(got: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value; infinite where shapes differ."""
    if got.numel() != expected.numel():
        return float("inf")
    got, expected = got.flatten().double(), expected.flatten().double().to(got.device)
    scale = float(expected.abs().max())
    difference = float((got - expected).abs().max())
    return difference / scale if scale else difference
