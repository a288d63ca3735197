"""A quantized model: named layers that read each other, trainable as it is."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from systolith.foundation import kind_problems
from systolith.network import INPUT, NetworkError, Pattern, Shape, ungroup_pattern
from systolith.prune import MaskSet
from systolith.quant.config import UnsupportedModelError
from systolith.quant.layers.exact import compute_integers, replace_values
from systolith.quant.layers.requantizing import Requantizing
from systolith.quant.layers.weighted import QuantConv2d, QuantLinear
from systolith.quant.layers.weightless import QuantComputing, QuantLayer
from systolith.quant.recognition.sequences import image_batch, image_shape
from systolith.quant.returned import Returned, ReturnedTensor
from systolith.quant.steps.quantizers import ActQuantizer

__all__ = ["NOT_FINITE", "QuantizedModel", "Wiring", "nonfinite_problems"]

NOT_FINITE = "needs finite numbers"
"""Requirement that tensors with NaN or infinities break, in messages."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """Name of a layer, and of the layers (or ``"input"``) that it reads."""

    name: str
    inputs: tuple[str, ...]


class QuantizedModel(nn.Module):
    """A network with fake-quantized weights and activations, for quantization-aware training.

    Made by :func:`prepare`. It maps float images to float logits, as the float model does, so any
    training loop fits.

    In evaluation mode, every value of every layer is exactly that of the integer network times the
    layer's step: see :func:`systolith.quant.layers.exact.compute_integers`. In training mode,
    weights, biases and activations are rounded in the same way, but sums and scales are floats: a
    value that falls within their error of a tie may be rounded to the other side.

    :func:`systolith.frontend.lower` and :class:`systolith.frontend.IntegerModel` turn it into
    integers.

    Parameters
    ----------
    input_quantizer : ActQuantizer
        Quantizer of the images.
    layers : sequence of (Wiring, QuantLayer)
        In an order in which every layer comes after its inputs.
    input_shape : Shape
        (C, H, W) or (features,) of the calibration images.
    origins : mapping of str to str, optional
        Qualified name of the float module that each layer comes from, by layer name. Default: the
        layer's own name.
    notes : tuple of str
        Parts of the float model that are left out because they do not change the predicted class.
    fixed_shape : bool
        Whether layers may depend on `input_shape`.
    returned : Returned, optional
        What the float model returns. Default: the result of the last layer.
    """

    def __init__(
        self,
        input_quantizer: ActQuantizer,
        layers: Sequence[tuple[Wiring, QuantLayer]],
        input_shape: Shape,
        origins: Mapping[str, str] | None = None,
        notes: tuple[str, ...] = (),
        fixed_shape: bool = False,
        returned: Returned | None = None,
    ) -> None:
        super().__init__()
        self.input_quantizer = input_quantizer
        self.layers = nn.ModuleDict({wiring.name: layer for wiring, layer in layers})
        self.wirings = tuple(wiring for wiring, _ in layers)
        self.input_shape = input_shape
        self.notes = notes
        self.fixed_shape = fixed_shape
        last = ReturnedTensor(layer=self.wirings[-1].name)
        self.returned = Returned(tensors=(last,)) if returned is None else returned
        own = {wiring.name: wiring.name for wiring in self.wirings}
        self._origins = {**own, **(origins or {})}

    @property
    def origins(self) -> Mapping[str, str]:
        """Qualified names of the float modules that the layers come from, by layer name."""
        return MappingProxyType(self._origins)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Layers whose results the model returns, each once."""
        return self.returned.layers

    @property
    def ends(self) -> Mapping[str, str]:
        """What turns outputs into probabilities, ``"softmax"`` or ``"sigmoid"``, if left out.

        By output layer.
        """
        return MappingProxyType(self.returned.ends)

    def forward(self, images: Tensor) -> Any:
        """Float logits, shape (N, ...), of float images.

        Several are in the tuples, lists or dictionaries in which the float model returns them.
        """
        return self.returned.arrange(self.trace(images))

    def finish(self, outputs: Any) -> Any:
        """Return what the float model returns: with its sigmoids, if they were left to the host."""
        return self.returned.finish(outputs)

    def trace(self, images: Tensor) -> dict[str, Tensor]:
        """Fake-quantized input and output of every layer, by name, of images of any float type."""
        if not images.is_floating_point():
            raise UnsupportedModelError([f"images must be float, got {images.dtype}"])
        images = image_batch(images.to(self.input_quantizer.log2_step.dtype))
        if self.training:
            return self._run(images, _forward)
        return self._evaluate(images)

    def named_layers(self) -> Iterator[tuple[Wiring, QuantLayer]]:
        """Layers in the order of computation."""
        for wiring in self.wirings:
            yield wiring, self.layer(wiring.name)

    def layer(self, name: str) -> QuantLayer:
        """Look a layer up by name; KeyError if there is none."""
        layer = self.layers[name]
        assert isinstance(layer, QuantLayer)
        return layer

    def quantizer(self, name: str) -> ActQuantizer:
        """Quantizer of the output of layer `name`, or of ``"input"``."""
        if name == INPUT:
            return self.input_quantizer
        layer = self.layer(name)
        if isinstance(layer, QuantConv2d | QuantLinear | QuantComputing):
            return layer.output
        source, *_ = next(wiring.inputs for wiring in self.wirings if wiring.name == name)
        return self.quantizer(source)

    def shapes(self, input_shape: Shape | None = None) -> dict[str, Shape]:
        """Shape of the input and of every layer's output, without the batch axis.

        None for `input_shape` means the shape of the calibration images.

        Raises
        ------
        UnsupportedModelError
            If the float model read the size of its images, and `input_shape` differs.
        """
        input_shape = None if input_shape is None else image_shape(input_shape)
        if self.fixed_shape and input_shape not in (None, self.input_shape):
            problem = (
                f"images must have shape {self.input_shape}, got {input_shape}: the model reads "
                "the size of images, so it has to be prepared on images of that size"
            )
            raise UnsupportedModelError([problem])
        device = self.input_quantizer.log2_step.device
        zeros = torch.zeros(1, *(input_shape or self.input_shape), device=device)
        with torch.no_grad():
            return {name: tuple(value.shape[1:]) for name, value in self.trace(zeros).items()}

    def masks(self) -> MaskSet:
        """Masks of layers whose pattern is not dense, by parameter name: ``layers.NAME.weight``."""
        masked = {
            f"layers.{wiring.name}.weight": layer
            for wiring, layer in self.named_layers()
            if isinstance(layer, QuantConv2d | QuantLinear) and not layer.pattern.is_dense
        }
        return MaskSet(
            {name: layer.mask for name, layer in masked.items()},
            {name: layer.pattern for name, layer in masked.items()},
        )

    def network_pattern(self, name: str, pattern: Pattern) -> Pattern:
        """Convert a pattern of a layer's weights to that of the layer in the integer network.

        They differ for convolutions of several groups: see :func:`ungroup_pattern`.

        Raises
        ------
        UnsupportedModelError
            If there is no such pattern, or `pattern` does not fit the layer.
        """
        layer = self.layer(name)
        assert isinstance(layer, QuantConv2d | QuantLinear)
        filters, channels, kh, kw = (*layer.weight.shape, 1, 1)[:4]
        try:
            if not isinstance(layer, QuantConv2d):
                return ungroup_pattern(pattern, (filters, channels, kh, kw), 1)
            pattern = layer.network_pattern(pattern)
            return ungroup_pattern(pattern, (filters, channels, kh, kw), layer.groups)
        except NetworkError as error:
            problems = [f"layer '{self.origins[name]}': {problem}" for problem in error.problems]
            raise UnsupportedModelError(problems) from error

    def check_numbers(self) -> None:
        """Check that all parameters are finite.

        Raises
        ------
        UnsupportedModelError
            Lists every tensor of every layer that holds NaN or infinities.
        """
        problems = list(nonfinite_problems("input", dict(self.input_quantizer.named_parameters())))
        for wiring, layer in self.named_layers():
            problems += nonfinite_problems(f"layer '{wiring.name}'", dict(layer.named_parameters()))
        UnsupportedModelError.raise_if_any(problems)

    def freeze_masks_(self, masks: MaskSet) -> None:
        """Prune by these masks from now on, in place; they become part of the integer network.

        Parameters
        ----------
        masks : MaskSet
            By parameter name, ``layers.NAME.weight``, such as a sparsifier returns after training
            this model. Layers that are not named keep their masks.

        Raises
        ------
        PruneError
            If a mask names no weight of this model, or has another shape; nothing is changed then.
        UnsupportedModelError
            If the integer network has no such pattern; nothing is changed then, either.
        """
        self.check_patterns(masks)
        masks.apply_(self)
        for name, mask in masks.items():
            layer = self.layers[name.split(".")[1]]
            assert isinstance(layer, QuantConv2d | QuantLinear)
            layer.mask.copy_(mask)
            layer.pattern = masks.patterns[name]

    def check_patterns(self, masks: MaskSet) -> None:
        """Check that the integer network has the patterns of these masks, by parameter name.

        Raises
        ------
        UnsupportedModelError
            Lists every pattern that the integer network does not have.
        """
        problems: list[str] = []
        for wiring, layer in self.named_layers():
            mask = masks.get(name := f"layers.{wiring.name}.weight")
            if not isinstance(layer, QuantConv2d) or mask is None:
                continue
            if mask.shape == layer.mask.shape:
                try:
                    self.network_pattern(wiring.name, masks.patterns[name])
                except UnsupportedModelError as error:
                    problems += error.problems
        UnsupportedModelError.raise_if_any(problems)

    @torch.no_grad()
    def calibrate_(self, images: Tensor) -> None:
        """Choose all steps, layer by layer; each layer reads the quantized outputs before it.

        Where layers share a step, it is the largest that any of them chooses, and the others are
        chosen again with it.

        Raises
        ------
        UnsupportedModelError
            If there are no images, or they are not floats of the input's shape.
        """
        UnsupportedModelError.raise_if_any(kind_problems("images", images, Tensor))
        images = image_batch(images)
        shape, inner = tuple(images.shape), ", ".join(map(str, self.input_shape))
        if (
            not images.is_floating_point()
            or not len(images)
            or len(shape) != 1 + len(self.input_shape)
        ):
            problem = (
                f"calibration needs float images of shape (N, {inner}), N at least 1, "
                f"got {images.dtype} {shape}"
            )
            raise UnsupportedModelError([problem])
        shared = self.shared_quantizers()
        largest: dict[ActQuantizer, Tensor] = {}

        def calibrate(layer: QuantLayer, values: list[Tensor], steps: list[Tensor]) -> Tensor:
            result = _calibrate(layer, values, steps)
            if isinstance(layer, Requantizing) and layer.output in shared:
                step = layer.output.step.detach()
                largest[layer.output] = torch.maximum(step, largest.get(layer.output, step))
            return result

        self._run(images, calibrate)
        if not shared:
            return
        for quantizer, step in largest.items():
            quantizer.set_step_(step)

        def calibrate_others(
            layer: QuantLayer, values: list[Tensor], steps: list[Tensor]
        ) -> Tensor:
            return _calibrate(layer, values, steps, fixed=shared)

        self._run(images, calibrate_others)

    def shared_quantizers(self) -> set[ActQuantizer]:
        """Quantizers of several layers, whose results are joined."""
        counts = Counter(
            layer.output for _, layer in self.named_layers() if isinstance(layer, Requantizing)
        )
        return {quantizer for quantizer, count in counts.items() if count > 1}

    def _run(
        self, images: Tensor, apply: Callable[[QuantLayer, list[Tensor], list[Tensor]], Tensor]
    ) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {INPUT: self.input_quantizer(images)}
        for wiring, layer in self.named_layers():
            inputs = [values[name] for name in wiring.inputs]
            steps = [self.quantizer(name).step.detach() for name in wiring.inputs]
            values[wiring.name] = apply(layer, inputs, steps)
        return values

    def _evaluate(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the integers times their steps, with the gradients of training."""
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            integers = self._integers(images)
            exact = {name: values * self.quantizer(name).step for name, values in integers.items()}
        if not torch.is_grad_enabled():
            return exact
        replacements = iter(exact.values())
        next(replacements)

        def replace(layer: QuantLayer, values: list[Tensor], steps: list[Tensor]) -> Tensor:
            return replace_values(_forward(layer, values, steps), next(replacements))

        return self._run(images, replace)

    def _integers(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the input's and every layer's integers, as floats."""
        results = {INPUT: self.input_quantizer.integers(images).to(images.dtype)}
        for wiring, layer in self.named_layers():
            sources = [self.quantizer(name) for name in wiring.inputs]
            results[wiring.name] = compute_integers(
                layer,
                [results[name] for name in wiring.inputs],
                [source.step for source in sources],
                sources[0].act_type,
            )
        return results


def _forward(layer: QuantLayer, values: list[Tensor], steps: list[Tensor]) -> Tensor:
    if isinstance(layer, QuantConv2d | QuantLinear):
        result: Tensor = layer(values[0], steps[0])
    else:
        result = layer(*values)
    return result


def _calibrate(
    layer: QuantLayer,
    values: list[Tensor],
    steps: list[Tensor],
    fixed: Collection[ActQuantizer] = (),
) -> Tensor:
    """Choose the steps of a layer, except those of fixed quantizers, and apply it."""
    if isinstance(layer, QuantConv2d | QuantLinear):
        layer.weight_quantizer.calibrate_(layer.masked_weight())
    if isinstance(layer, Requantizing) and layer.output not in fixed:
        layer.output.calibrate_(layer.activate(_accumulate(layer, values, steps)))
    return _forward(layer, values, steps)


def _accumulate(layer: QuantLayer, values: list[Tensor], steps: list[Tensor]) -> Tensor:
    if isinstance(layer, QuantConv2d | QuantLinear):
        return layer.accumulate(values[0], steps[0])
    assert isinstance(layer, QuantComputing)
    return layer.accumulate(*values)


def nonfinite_problems(title: str, tensors: Mapping[str, Tensor | None]) -> Iterator[str]:
    """Find tensors of a layer that hold NaN or infinities, as after diverged training."""
    for name, tensor in tensors.items():
        if tensor is not None and (bad := int((~tensor.isfinite()).sum())):
            yield (
                f"{title}: {NOT_FINITE}, but {bad} of {tensor.numel()} of its {name} are "
                "NaN or infinite"
            )
