"""From a trained float model to one that trains with quantized weights and activations."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from systolith.foundation import kind_problems
from systolith.network import ActType, Pattern
from systolith.prune import MaskSet
from systolith.quant.config import QuantConfig, UnsupportedModelError
from systolith.quant.layers.requantizing import Activation
from systolith.quant.layers.transposed import QuantConvTranspose2d
from systolith.quant.layers.weighted import QuantConv2d, QuantLinear, WeightedSettings
from systolith.quant.layers.weightless import (
    QuantAdd,
    QuantAvgPool2d,
    QuantConcat,
    QuantDepthToSpace,
    QuantFlatten,
    QuantLayer,
    QuantMaxPool2d,
    QuantMultiply,
    QuantPad2d,
    QuantSelectChannels,
    QuantSpaceToDepth,
    QuantTable,
    QuantUpsample,
)
from systolith.quant.model import QuantizedModel, Wiring, nonfinite_problems
from systolith.quant.recognition import (
    FloatLayer,
    FloatNetwork,
    comparison_problems,
    fold_batch_norm,
    read_layers,
)
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
from systolith.quant.recognition.sequences import image_mask, image_shape
from systolith.quant.sharing import SharedSteps, share_steps
from systolith.quant.steps.quantizers import ActQuantizer, SignQuantizer, WeightQuantizer
from systolith.quant.widths import bits_of, find_signs, result_bits
from systolith.trace import as_module

__all__ = ["prepare"]

Weighted = Convolve | MatrixMultiply


def prepare(
    model: nn.Module,
    images: Tensor,
    config: QuantConfig | None = None,
    masks: MaskSet | None = None,
) -> QuantizedModel:
    """Fold batch norms, insert quantizers, freeze masks and choose initial steps.

    Parameters
    ----------
    model : nn.Module
        Trained; it is not changed. A program of ``torch.export`` is taken, too. It consists of
        convolutions of any groups with or without batch norm, linear layers, ReLU and ReLU6, max,
        average and global pools, flattening, zero padding, residual additions, concatenations,
        slices and shuffles of channels, and pixel shuffles, in any order that hardware can fuse.
        Layers whose results are joined share a step; a warning names tensors that are rescaled
        instead. Frozen weights, such as those of a fixed shortcut, stay frozen.
    images : Tensor of float32, shape (N, *input_shape)
        Training images for calibrating the steps; a few hundred are enough. Other float types
        become float32. Sequences (N, C, L) are images of one row: the integer network reads
        (C, 1, L).
    config : QuantConfig, optional
        Widths. Default: 8 bits.
    masks : MaskSet, optional
        Masks of the model's weights. They are frozen and become part of the integer network.

    Returns
    -------
    QuantizedModel
        Ready for training, or for lowering at once (post-training quantization); in training or
        evaluation mode, as the model.

    Raises
    ------
    UnsupportedModelError
        Lists every layer without an integer form and every name, number or image that does not
        fit; or names the first layer whose recognized form differs from the model on a few images.
    """
    model = as_module(model)
    config = QuantConfig() if config is None else config
    masks = masks if masks is not None else MaskSet({}, {})
    UnsupportedModelError.raise_if_any(
        [
            *kind_problems("images", images, Tensor),
            *kind_problems("config", config, QuantConfig),
            *kind_problems("masks", masks, MaskSet),
        ]
    )
    UnsupportedModelError.raise_if_any(_tensor_problems(images))
    images = images.float()
    network = _read_checked(model, images, config, masks)
    shared = share_steps(network.layers, result_bits(network.layers, config))
    traced = shared.layers
    for note in (*network.notes, *network.returned.moves, *network.repeated, *shared.notes):
        warnings.warn(note, stacklevel=2)
    builder = _Builder(shared, config, masks)
    input_quantizer = ActQuantizer(
        ActType(bits=config.input_bits, signed=config.input_signed),
        power_of_two=config.power_of_two,
    )
    # The unit of the images is the user's; with 8 bits, 0..1 becomes 0..255.
    input_quantizer.set_step_(images.abs().max().clamp_min(1e-6) / input_quantizer.act_type.high)
    input_quantizer.requires_grad_(False)
    quantized = QuantizedModel(
        input_quantizer,
        builder.build(),
        image_shape(tuple(images.shape[1:])),
        {layer.name: layer.qualified_name for layer in traced},
        network.notes,
        network.fixed_shape,
        network.returned,
    )
    quantized.to(images.device)
    quantized.check_patterns(quantized.masks())
    quantized.calibrate_(images)
    return quantized.train(model.training)


def _read_checked(
    model: nn.Module, images: Tensor, config: QuantConfig, masks: MaskSet
) -> FloatNetwork:
    """Read the layers of a model; raise everything that does not fit at once."""
    reading = read_layers(model, images)
    network = reading.network
    layers = reading.layers if network is None else network.layers
    modules: list[str] = []
    if reading.problems and isinstance(model, nn.Module):  # anything else is one of the problems
        modules = [name for name, _ in model.named_modules()]
    others = [
        *_config_problems(layers, config, modules),
        *_mask_problems(layers, masks, modules),
        *_sign_problems(images, config),
    ]
    numbers = list(_number_problems(layers))
    if network is not None and not numbers:
        others += comparison_problems(model, network, images)
    UnsupportedModelError.raise_if_any([*reading.problems, *others, *numbers])
    assert network is not None, "there are no problems"
    return network


class _Builder:
    """Makes a quantized layer from each float layer."""

    def __init__(self, shared: SharedSteps, config: QuantConfig, masks: MaskSet) -> None:
        self._traced = shared.layers
        self._shared = shared
        self._config = config
        self._masks = masks
        self._signed = find_signs(shared, config.input_signed)
        self._quantizers: dict[str, ActQuantizer] = {}

    def build(self) -> list[tuple[Wiring, QuantLayer]]:
        return [(Wiring(layer.name, layer.inputs), self._layer(layer)) for layer in self._traced]

    def _layer(self, layer: FloatLayer) -> QuantLayer:
        operation = layer.operation
        match operation:
            case Convolve():
                return self._convolution(layer, operation)
            case MatrixMultiply():
                linear = operation.module
                if layer.norm is not None:
                    linear = fold_batch_norm(linear, layer.norm)
                return QuantLinear(linear, **self._weighted(layer, operation))
            case AddUp():
                return QuantAdd(layer.activation, self._output(layer), layer.slope)
            case Product():
                return QuantMultiply(layer.activation, self._output(layer), layer.slope)
            case AveragePool():
                return QuantAvgPool2d(
                    kernel_size=operation.kernel_size,
                    stride=operation.stride,
                    padding=operation.padding,
                    counted=operation.counted,
                    divisor=operation.divisor,
                    activation=layer.activation,
                    output=self._output(layer),
                    slope=layer.slope,
                )
            case MaxPool():
                return QuantMaxPool2d(
                    kernel_size=operation.kernel_size,
                    stride=operation.stride,
                    padding=operation.padding,
                    dilation=operation.dilation,
                )
            case LookUp(function=function):
                return QuantTable(deepcopy(function), self._output(layer))
            case Pad():
                return QuantPad2d(padding=operation.padding)
            case Extend():
                return QuantPad2d(padding=operation.padding, edge=True)
            case Enlarge():
                return QuantUpsample(factors=operation.factors)
            case ToVectors():
                return QuantFlatten()
            case Join():
                return QuantConcat()
            case TakeChannels():
                return QuantSelectChannels(operation.channels)
            case DepthToPixels():
                return QuantDepthToSpace(operation.block)
            case PixelsToDepth():
                return QuantSpaceToDepth(operation.block)
            case _:
                raise AssertionError(f"{operation} has been folded or fused")

    def _convolution(self, layer: FloatLayer, operation: Convolve) -> QuantConv2d:
        conv = operation.module
        kind: Callable[..., QuantConv2d] = QuantConv2d
        if operation.phases is not None:
            kind = partial(QuantConvTranspose2d, phases=operation.phases)
        if layer.norm is not None:
            conv = fold_batch_norm(conv, layer.norm)
        return kind(conv, padding=operation.padding, **self._weighted(layer, operation))

    def _weighted(self, layer: FloatLayer, operation: Weighted) -> WeightedSettings:
        return {
            "activation": layer.activation,
            "weight_quantizer": self._weight_quantizer(layer, operation),
            "output": self._output(layer),
            "mask": self._mask(layer, operation),
            "pattern": self._pattern(layer),
            "slope": layer.slope,
        }

    def _mask(self, layer: FloatLayer, operation: Weighted) -> Tensor | None:
        mask = self._masks.get(layer.weight)
        return None if mask is None else image_mask(mask, operation.module.weight)

    def _pattern(self, layer: FloatLayer) -> Pattern:
        return self._masks.patterns.get(layer.weight, Pattern())

    def _output(self, layer: FloatLayer) -> ActQuantizer:
        owner = self._shared.owners[layer.name]
        if owner not in self._quantizers:
            if self._shared.bits[layer.name] == 1:
                self._quantizers[owner] = SignQuantizer(power_of_two=self._config.power_of_two)
                return self._quantizers[owner]
            self._quantizers[owner] = ActQuantizer(
                ActType(bits=self._shared.bits[layer.name], signed=self._signed[layer.name]),
                power_of_two=self._config.power_of_two,
            )
        return self._quantizers[owner]

    def _weight_quantizer(self, layer: FloatLayer, operation: Weighted) -> WeightQuantizer:
        config, own = self._config, bits_of(layer, self._config)
        return WeightQuantizer(
            1 if config.power_of_two else len(operation.module.weight),
            own.weight_bits or config.weight_bits,
            narrow_range=config.narrow_range if own.narrow_range is None else own.narrow_range,
            power_of_two=config.power_of_two,
        )


def _config_problems(
    traced: list[FloatLayer], config: QuantConfig, modules: Iterable[str]
) -> Iterator[str]:
    """Find widths of layers that are neither read nor, where calls were refused, modules."""
    known = {name for layer in traced for name in (layer.qualified_name, layer.name)}
    known |= {name for module in modules for name in (module, module.replace(".", "_"))}
    for name in config.layers:
        if name not in known:
            names = ", ".join(layer.qualified_name for layer in traced)
            yield f"bits must name a layer of {names}, got '{name}'"
    widths = result_bits(traced, config)
    for layer in traced:
        if widths.get(layer.name) == 1:
            yield from _sign_output_problems(layer)
        bits = bits_of(layer, config).weight_bits or config.weight_bits
        if bits == 1 and isinstance(layer.operation, Convolve | MatrixMultiply):
            weight = layer.operation.module.weight
            if not weight.requires_grad and (zeros := int((weight == 0).sum())):
                yield (
                    f"1-bit weights are -1 or +1, but {zeros} of the fixed weights of "
                    f"'{layer.qualified_name}' are 0; give it 2 bits"
                )


def _sign_output_problems(layer: FloatLayer) -> Iterator[str]:
    """List why a layer cannot give the signs of its results."""
    if isinstance(layer.operation, AddUp | AveragePool):
        yield (
            f"1-bit activations are signs, which '{layer.qualified_name}' does not give: give it "
            "2 bits"
        )
    elif layer.activation is not Activation.NONE:
        yield (
            f"1-bit activations are signs, -1 or +1: leave out the {layer.activation.value} behind "
            f"'{layer.qualified_name}', or give it 2 bits"
        )


def _mask_problems(
    traced: list[FloatLayer], masks: MaskSet, modules: Iterable[str]
) -> Iterator[str]:
    """Find masks of weights that do not exist, or have another shape."""
    unread = {f"{module}.weight" for module in modules}
    weights = {
        layer.weight: layer.operation.module.weight
        for layer in traced
        if isinstance(layer.operation, Convolve | MatrixMultiply)
    }
    for name, mask in masks.items():
        if name not in weights and name in unread:
            continue
        if name not in weights:
            yield f"masks must name a weight of {', '.join(weights)}, got '{name}'"
        elif image_mask(mask, weights[name]).shape != weights[name].shape:
            yield (
                f"mask of '{name}' must have shape {tuple(weights[name].shape)}, "
                f"got {tuple(mask.shape)}"
            )


def _tensor_problems(images: Tensor) -> Iterator[str]:
    if not images.is_floating_point() or images.ndim not in (2, 3, 4) or not images.numel():
        yield (
            "calibration images must be float of shape (N, C, H, W), (N, C, L) or (N, features), "
            f"got {images.dtype} {tuple(images.shape)}"
        )
    elif not torch.isfinite(images).all():
        yield "calibration images must be finite"


def _sign_problems(images: Tensor, config: QuantConfig) -> Iterator[str]:
    if not config.input_signed and images.min() < 0:
        yield (
            "images of an unsigned input must not be negative, "
            f"got {float(images.min()):.3g}; set input_signed=True"
        )


def _number_problems(traced: list[FloatLayer]) -> Iterator[str]:
    for layer in traced:
        if isinstance(layer.operation, Convolve | MatrixMultiply):
            module = layer.operation.module
            parameters = {"weight": module.weight, "bias": module.bias}
            yield from nonfinite_problems(layer.title, parameters)
        if (norm := layer.norm) is not None:
            title = f"batch norm of '{layer.qualified_name}'"
            statistics = {"running_mean": norm.running_mean, "running_var": norm.running_var}
            yield from nonfinite_problems(title, {**dict(norm.named_parameters()), **statistics})
