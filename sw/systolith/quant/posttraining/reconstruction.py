"""Post-training quantization, layer by layer in the order of computation."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from math import prod

import torch
from torch import Tensor

from systolith.foundation import kind_problems
from systolith.network import INPUT
from systolith.prune.posttraining import OutputMoments
from systolith.quant.config import UnsupportedModelError
from systolith.quant.layers.exact import compute_integers
from systolith.quant.layers.requantizing import Activation, Requantizing
from systolith.quant.layers.transposed import QuantConvTranspose2d
from systolith.quant.layers.weighted import QuantConv2d, QuantLinear
from systolith.quant.layers.weightless import (
    QuantAdd,
    QuantAvgPool2d,
    QuantLayer,
    QuantMultiply,
    QuantTable,
)
from systolith.quant.model import QuantizedModel, Wiring
from systolith.quant.posttraining.coordinate_descent import round_by_descent
from systolith.quant.posttraining.moments import measure_moments
from systolith.quant.recognition.sequences import image_batch

__all__ = ["PostTraining", "WeightRounding", "reconstruct_"]

BATCH = 128


class WeightRounding(Enum):
    """How weights become integers without training."""

    NEAREST = "nearest"
    RECONSTRUCTED = "reconstructed"
    """The integers with which a layer's outputs come closest to those of the float network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostTraining:
    """How a network is quantized without training; see :func:`reconstruct_`.

    Parameters
    ----------
    rounding : WeightRounding
        1-bit and frozen weights are always rounded to the nearest.
    bias_correction : bool
        Choose biases such that the mean of each output channel is that of the float network.
    """

    rounding: WeightRounding = WeightRounding.RECONSTRUCTED
    bias_correction: bool = True

    @property
    def changes_nothing(self) -> bool:
        """Whether the network stays as :func:`systolith.quant.prepare` made it."""
        return self.rounding is WeightRounding.NEAREST and not self.bias_correction


@torch.no_grad()
def reconstruct_(
    model: QuantizedModel, images: Tensor, settings: PostTraining | None = None
) -> None:
    """Choose integers of weights and biases so that layers reproduce the float network's outputs.

    Layers follow each other in the order of computation. Each one reads the quantized values of the
    layers before it, and aims at the outputs that it has in the float network. Then the range of
    its output is chosen anew. Masks are kept: pruned weights stay 0.

    The result depends on the images only, not on chance. Memory: all values of the layers that are
    still needed, for all images, twice.

    Parameters
    ----------
    model : QuantizedModel
        Fresh from :func:`systolith.quant.prepare`: its weights are those of the float network.
        Changed; it may be trained afterwards.
    images : Tensor of float, shape (N, *input_shape)
        Training images without labels; 512 are enough for CIFAR-10.
    settings : PostTraining, optional
        Default: everything.

    Raises
    ------
    UnsupportedModelError
        If there are no images, or they are not finite floats of that shape; nothing is changed.

    Notes
    -----
    Bias correction: Nagel, van Baalen, Blankevoort, Welling: Data-free quantization (ICCV 2019),
    section 4.2, on images instead of batch norm statistics. Rounding: :func:`round_by_descent`.
    Steps of weights stay: choosing them in turn with the integers gained nothing on ResNet-20.

    **Deviation:** a layer whose output is only added to an earlier value also corrects the error of
    that value: its aim is the sum in the float network, less the quantized value.
    """
    settings = PostTraining() if settings is None else settings
    UnsupportedModelError.raise_if_any(
        [
            *kind_problems("model", model, QuantizedModel),
            *kind_problems("images", images, Tensor),
            *kind_problems("settings", settings, PostTraining),
        ]
    )
    if settings.changes_nothing:
        return
    if problems := list(_image_problems(model, images)):
        raise UnsupportedModelError(problems)
    images = image_batch(images).to(model.input_quantizer.log2_step)
    shared = model.shared_quantizers()
    exact = {INPUT: images}
    quantized = {INPUT: _in_batches(model.input_quantizer, images)}
    for position, (wiring, layer) in enumerate(model.named_layers()):
        inputs = [exact[name] for name in wiring.inputs]
        given = [quantized[name] for name in wiring.inputs]
        steps = [model.quantizer(name).step.detach() for name in wiring.inputs]
        exact[wiring.name] = outputs = _in_batches(_float_layer(layer), *inputs)
        if isinstance(layer, QuantConv2d | QuantLinear):
            targets = outputs + _error_beside(model, wiring, exact, quantized)
            if layer.weight.requires_grad or layer.bias.requires_grad:
                _reconstruct_layer(layer, given[0], targets, settings)
            exact[wiring.name] = layer.activate(outputs)
        if isinstance(layer, Requantizing) and layer.output not in shared:
            acc = _in_batches(_accumulating(layer, steps[0]), *given)
            layer.output.calibrate_(layer.activate(acc))
        quantized[wiring.name] = _in_batches(_exact_layer(model, wiring), *given)
        later = {name for after in model.wirings[position + 1 :] for name in after.inputs}
        for name in set(exact) - later:
            del exact[name], quantized[name]


def _image_problems(model: QuantizedModel, images: Tensor) -> Iterator[str]:
    shape, inner = tuple(images.shape), ", ".join(map(str, model.input_shape))
    fits = tuple(image_batch(images).shape[1:]) == model.input_shape
    if not images.is_floating_point() or not len(images) or not fits:
        yield (
            f"reconstruction needs float images of shape (N, {inner}), N at least 1, "
            f"got {images.dtype} {shape}"
        )
    elif not images.isfinite().all():
        yield "images must be finite"


def _reconstruct_layer(
    layer: QuantConv2d | QuantLinear, inputs: Tensor, targets: Tensor, settings: PostTraining
) -> None:
    """Choose weights, then the bias; `targets` are wanted outputs before the activation."""
    moments = measure_moments(layer, inputs, targets)
    corrects = settings.bias_correction
    if isinstance(layer, QuantConvTranspose2d):  # phases share a bias: none can correct its own
        fitted = moments.without_bias(layer.spread_filters(layer.bias))
    else:
        fitted = moments.centered() if corrects else moments.without_bias(layer.bias)
    quantizer, shape = layer.weight_quantizer, layer.weight.shape
    if (
        settings.rounding is WeightRounding.RECONSTRUCTED
        and quantizer.bits > 1
        and layer.weight.requires_grad
    ):
        integers = _gather(layer, _round(layer, fitted))
        layer.weight.copy_((integers * quantizer.step.double()[:, None]).reshape(shape))
    if corrects and layer.bias.requires_grad:
        step = quantizer.step.double()
        integers = quantizer.integers(layer.masked_weight())
        weights = _spread(layer, integers * step.reshape(-1, *[1] * (integers.ndim - 1)))
        grouped = weights.reshape(len(moments.gram), -1, weights.shape[1])
        means = (grouped * moments.input_means[:, None, :]).sum(2)
        layer.bias.copy_(_average_phases(layer, (moments.output_means - means).flatten()))


def _round(layer: QuantConv2d | QuantLinear, moments: OutputMoments) -> Tensor:
    """Round the rows of each group; float64 of shape (F, n)."""
    quantizer, groups = layer.weight_quantizer, len(moments.gram)
    weight, mask = _spread(layer, layer.weight), _spread(layer, layer.mask)
    step = quantizer.step.expand(len(layer.weight))
    if isinstance(layer, QuantConv2d):
        step = layer.spread_filters(step)
    bounds = quantizer.low, quantizer.high
    parts = [
        round_by_descent(some, kept, steps, bounds, gram, cross)
        for some, kept, steps, gram, cross in zip(
            weight.chunk(groups),
            mask.chunk(groups),
            step.chunk(groups),
            moments.gram,
            moments.cross,
            strict=True,
        )
    ]
    return torch.cat(parts)


def _spread(layer: QuantConv2d | QuantLinear, values: Tensor) -> Tensor:
    """Values of a layer's weights as rows, one for each output channel; 0 for missing taps."""
    return (layer.spread(values) if isinstance(layer, QuantConv2d) else values).flatten(1)


def _gather(layer: QuantConv2d | QuantLinear, rows: Tensor) -> Tensor:
    """Undo :func:`_spread`: float64 of shape (F, n)."""
    count = layer.weight.numel()
    places = torch.arange(1, count + 1, device=rows.device).reshape(layer.weight.shape)
    index = _spread(layer, places)
    flat = rows.new_zeros(count + 1)
    flat[index.flatten()] = rows.flatten()
    return flat[1:].reshape(len(layer.weight), -1)


def _average_phases(layer: QuantConv2d | QuantLinear, values: Tensor) -> Tensor:
    """Average one value of each output channel over the phases of a filter, (F,)."""
    if not isinstance(layer, QuantConvTranspose2d):
        return values
    phases = prod(layer.phases)
    return values.reshape(layer.groups, phases, -1).mean(1).flatten()


def _error_beside(
    model: QuantizedModel,
    wiring: Wiring,
    exact: Mapping[str, Tensor],
    quantized: Mapping[str, Tensor],
) -> Tensor | float:
    """Error of the value that a layer's output is added to; 0 if it has other uses."""
    readers = [reader for reader in model.wirings if wiring.name in reader.inputs]
    layer = model.layer(wiring.name)
    assert isinstance(layer, QuantConv2d | QuantLinear)
    activated = layer.activation is not Activation.NONE
    if len(readers) != 1 or activated or not isinstance(model.layer(readers[0].name), QuantAdd):
        return 0.0
    other = next((name for name in readers[0].inputs if name != wiring.name), "")
    return exact[other] - quantized[other] if other in exact else 0.0


def _float_layer(layer: QuantLayer) -> Callable[..., Tensor]:
    """Compute a layer without quantization; convolutions and linear ones without activation."""
    match layer:
        case QuantConv2d() | QuantLinear():
            weight = layer.masked_weight()
            return lambda x: layer.apply_weights(x, weight, layer.bias)
        case QuantAdd() | QuantMultiply() | QuantAvgPool2d() | QuantTable():
            return lambda *values: layer.activate(layer.accumulate(*values))
        case _:
            return layer


def _accumulating(layer: QuantLayer, input_step: Tensor) -> Callable[..., Tensor]:
    match layer:
        case QuantConv2d() | QuantLinear():
            return lambda x: layer.accumulate(x, input_step)
        case QuantAdd() | QuantMultiply() | QuantAvgPool2d() | QuantTable():
            return layer.accumulate
        case _:
            raise AssertionError(f"{type(layer).__name__} has no accumulator")


def _exact_layer(model: QuantizedModel, wiring: Wiring) -> Callable[..., Tensor]:
    """Compute a layer as the integer network does, from and to fake-quantized values."""
    layer, sources = model.layer(wiring.name), [model.quantizer(name) for name in wiring.inputs]
    steps = [source.step for source in sources]

    def compute(*values: Tensor) -> Tensor:
        integers = [(value / step).round() for value, step in zip(values, steps, strict=True)]
        result = compute_integers(layer, integers, steps, sources[0].act_type)
        return result * model.quantizer(wiring.name).step

    return compute


def _in_batches(compute: Callable[..., Tensor], *values: Tensor) -> Tensor:
    batches = zip(*(torch.split(value, BATCH) for value in values), strict=True)
    return torch.cat([compute(*batch) for batch in batches])
