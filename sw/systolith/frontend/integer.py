"""The PyTorch model in integer mode: the reference for everything after it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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
    IntegerAvgPool2d,
    IntegerConv2d,
    IntegerLinear,
    IntegerMaxPool2d,
    IntegerMultiply,
    IntegerRequantizer,
    IntegerTable,
)
from systolith.network import INPUT, ActType, IntArray, NetworkError, Shape
from systolith.quant import (
    ActQuantizer,
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
    image_batch,
)

__all__ = ["IntegerGraph", "IntegerModel"]

BATCH = 256


class IntegerGraph(nn.Module):
    """Integer modules that read each other, run by PyTorch.

    Parameters
    ----------
    wirings : sequence of Wiring
        Names of layers and of their inputs, in order of computation.
    layers : sequence of nn.Module
        Modules in the same order, from int64 to int64.
    input_shape : Shape
        (C, H, W) or (features,) of one image.
    input_type : ActType
        Type of the images.
    outputs : sequence of str, optional
        Names of the layers whose results are returned. Default: the last one.
    """

    def __init__(
        self,
        wirings: Sequence[Wiring],
        layers: Sequence[nn.Module],
        input_shape: Shape,
        input_type: ActType,
        outputs: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.wirings = tuple(wirings)
        self.layers = nn.ModuleList(layers)
        self.input_shape = input_shape
        self.input_type = input_type
        self.outputs = (self.wirings[-1].name,) if outputs is None else tuple(outputs)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute integer logits, int64 of shape (N, ...), of int64 images of the input type.

        Several outputs are in a tuple, in the order of `outputs`.

        Raises
        ------
        NetworkError
            If the images are floats.
        """
        if images.is_floating_point():
            raise NetworkError(
                [f"images must be integers, got {images.dtype}; quantize_input() makes them"]
            )
        values = self._run(images)
        first, *others = (values[name] for name in self.outputs)
        return (first, *others) if others else first

    def trace(self, images: IntArray) -> dict[str, IntArray]:
        """Run the network and keep its input and every layer's output.

        Parameters
        ----------
        images : array of int, shape (N, *input_shape)
            Values of the input type.

        Returns
        -------
        dict of str to array of int64, shape (N, ...)
            By layer name, ``"input"`` included; the keys of :func:`systolith.network.trace`.

        Raises
        ------
        NetworkError
            If the images have another shape, or values outside the input type.
        """
        NetworkError.raise_if_any(self._image_problems(images))
        batches = torch.split(torch.from_numpy(np.asarray(images, dtype=np.int64)), BATCH)
        parts = [self._run(batch) for batch in batches]
        return {
            name: np.asarray(torch.cat([part[name] for part in parts]).numpy()) for name in parts[0]
        }

    def _image_problems(self, images: IntArray) -> Iterator[str]:
        low, high = self.input_type.low, self.input_type.high
        if images.shape[1:] != self.input_shape:
            yield f"images must have shape (N, {str(self.input_shape)[1:]}, got {images.shape}"
        if images.dtype.kind not in "iu":
            yield f"images must be integers, got {images.dtype}"
        elif images.size and not (low <= images.min() and images.max() <= high):
            yield f"images must lie in {low}..{high}, got {images.min()}..{images.max()}"

    @torch.no_grad()
    def _run(self, images: Tensor) -> dict[str, Tensor]:
        values = {INPUT: images}
        for wiring, layer in zip(self.wirings, self.layers, strict=True):
            values[wiring.name] = layer(*[values[name] for name in wiring.inputs])
        return values


class IntegerModel(IntegerGraph):
    """A quantized model that computes with integers, in PyTorch.

    It is made from the quantized model's own modules and runs on PyTorch's operators, independent
    of the integer network and the NumPy arithmetic. Tests check that all agree in every value of
    every layer.

    Parameters
    ----------
    model : QuantizedModel
        Its integers are copied; further training does not change this model.
    input_shape : Shape, optional
        (C, H, W) or (features,) of one image. Default: that of the calibration images.

    Raises
    ------
    NetworkError
        If parameters are NaN or infinite.
    """

    _output_step: Tensor

    def __init__(self, model: QuantizedModel, input_shape: Shape | None = None) -> None:
        model.check_numbers()
        shapes = model.shapes(input_shape)
        layers = [
            _integer_layer(model, wiring, shapes[wiring.inputs[0]]) for wiring in model.wirings
        ]
        quantizer = model.input_quantizer
        super().__init__(model.wirings, layers, shapes[INPUT], quantizer.act_type, model.outputs)
        self.input_quantizer = ActQuantizer(quantizer.act_type, power_of_two=quantizer.power_of_two)
        self.input_quantizer.load_state_dict(quantizer.state_dict())
        self._returned = model.returned
        for name in model.outputs:
            step = model.quantizer(name).step.detach().clone()
            self.register_buffer(f"_step_{name}", step, persistent=False)
        self.requires_grad_(False)

    def quantize_input(self, images: Tensor | NDArray[np.float32]) -> IntArray:
        """Quantize float images, shape (N, *input_shape), to int64 of the input type.

        Sequences (N, C, L) become images of one row.

        Raises
        ------
        NetworkError
            If the images are integers already, not finite, or of another shape.
        """
        return np.asarray(self._quantize(torch.as_tensor(images)).numpy(), dtype=np.int64)

    def _quantize(self, given: Tensor) -> Tensor:
        if not given.is_floating_point():
            problem = (
                f"images to quantize must be float, got {given.dtype}; integers are what the "
                "network itself takes: the model in integer mode, trace() and forward()"
            )
            raise NetworkError([problem])
        given = image_batch(given)
        if tuple(given.shape[1:]) != self.input_shape:
            shape = f"(N, {str(self.input_shape)[1:]}"
            raise NetworkError([f"images must have shape {shape}, got {tuple(given.shape)}"])
        if not given.isfinite().all():
            raise NetworkError(["images must be finite"])
        # As the quantized model does, which computes in one type.
        return self.input_quantizer.integers(given.to(self.input_quantizer.log2_step.dtype))

    def logits(self, images: Tensor) -> Tensor:
        """Compute integer logits of float images, to evaluate a classifier.

        They have the shape of the float model's outputs: sequences are (N, C, L).

        Raises
        ------
        NetworkError
            If the model has several outputs.
        """
        if len(self.outputs) > 1:
            names = ", ".join(self.outputs)
            raise NetworkError([f"logits need one output, got {names}; trace() has them all"])
        (name,) = self.outputs
        logits: Tensor = self._returned.arrange({name: self._compute(images)[name]})
        return logits

    def real_outputs(self, images: Tensor | NDArray[np.float32]) -> Any:
        """Compute the outputs of float images in real units, in the form of the float model's.

        They are the integers times the step of the output, and the sigmoid of that if one was left
        to the host: bit for bit those of the quantized model in evaluation mode, after
        :meth:`systolith.quant.QuantizedModel.finish`. A softmax that was left out stays out.

        Parameters
        ----------
        images : Tensor or array of float32, shape (N, ...)
            Images of the float model.
        """
        values = self._compute(torch.as_tensor(images))
        reals = {name: values[name] * self.get_buffer(f"_step_{name}") for name in self.outputs}
        return self._returned.finish(self._returned.arrange(reals))

    def _compute(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the outputs' integers, in batches."""
        parts = [self._run(batch) for batch in torch.split(self._quantize(images), BATCH)]
        return {name: torch.cat([part[name] for part in parts]) for name in self.outputs}


def _integer_layer(model: QuantizedModel, wiring: Wiring, input_shape: Shape) -> nn.Module:
    layer = model.layer(wiring.name)
    steps = [model.quantizer(name).step for name in wiring.inputs]
    types = [model.quantizer(name).act_type for name in wiring.inputs]
    match layer:
        case QuantConv2d():
            conv = layer.integers(steps[0])
            return IntegerConv2d(
                conv.weight,
                conv.bias,
                _requantizer(conv.scaling),
                stride=layer.stride,
                padding=layer.padding,
                groups=layer.groups,
                dilation=layer.dilation,
            )
        case QuantLinear():
            linear = layer.integers(steps[0])
            return IntegerLinear(linear.weight, linear.bias, _requantizer(linear.scaling))
        case QuantAdd():
            multipliers, scaling = layer.integers(steps)
            return IntegerAdd(multipliers, _requantizer(scaling))
        case QuantMultiply():
            return IntegerMultiply(_requantizer(layer.integers(steps)))
        case QuantAvgPool2d():
            return IntegerAvgPool2d(
                _requantizer(layer.integers(steps[0], input_shape, types[0])),
                kernel_size=layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                counted=layer.counted,
            )
        case QuantMaxPool2d():
            return IntegerMaxPool2d(
                kernel_size=layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
            )
        case QuantTable():
            return IntegerTable(layer.integers(steps[0], types[0]), types[0].low)
        case QuantPad2d():
            return IntegerPad2d(padding=layer.padding, edge=layer.edge)
        case QuantUpsample():
            return IntegerUpsample(factors=layer.factors)
        case QuantFlatten():
            return IntegerFlatten()
        case QuantConcat():
            return IntegerConcat()
        case QuantSelectChannels():
            return IntegerSelectChannels(layer.channels.tolist())
        case QuantDepthToSpace():
            return IntegerDepthToSpace(layer.block)
        case QuantSpaceToDepth():
            return IntegerSpaceToDepth(layer.block)


def _requantizer(scaling: Scaling) -> IntegerRequantizer:
    shift = torch.tensor([scaling.fixed_point.shift])
    return IntegerRequantizer(
        scaling.fixed_point.multiplier,
        shift,
        scaling.output,
        scaling.clamp,
        offset=scaling.offset,
        negative=scaling.fixed_point.negative,
    )
