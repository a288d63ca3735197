"""Quantizers and scales of an exported network."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from systolith.exchange.export.graph import Format, OnnxGraph, storage_type
from systolith.exchange.export.scales import channel_factor, channel_slope, choose_offsets
from systolith.network import (
    INPUT,
    ActType,
    Add,
    AvgPool2d,
    IntegerNetwork,
    Multiply,
    Requantize,
    Requantized,
    Rounding,
)

__all__ = ["QuantizingGraph"]


class QuantizingGraph(OnnxGraph):
    """A graph with quantizers: of the images at first, of each layer's result as it is added."""

    def __init__(
        self, network: IntegerNetwork, form: Format, scales: Mapping[str, Fraction]
    ) -> None:
        super().__init__(network, form, scales)
        self.real[INPUT] = self.quantize(INPUT, INPUT, network.input.type, Rounding.HALF_EVEN)

    def requantize(self, layer: Any, result: str) -> None:
        """Write the layer's clipping, rounding and quantization."""
        spec: Requantize = layer.requantize
        output: ActType = layer.output
        scale = float(self.scales[layer.name])
        rounding = spec.rounding
        if spec.negative is not None:
            result = self._add_slopes(layer.name, spec, result)
        if constants := choose_offsets(self.network, layer):
            offset, rounding = constants
            axes = [1] * (len(self.network.tensors[layer.name].shape) - 1)
            by = (offset * scale).astype(np.float32).reshape(-1, *axes)
            given = [result, self.add_constant(f"{layer.name}.offset", by)]
            result = self.add_node("Add", given, f"{layer.name}.shifted")
        elif rounding is Rounding.HALF_UP and not self._has_ties(layer):
            # QONNX rounds after adding the zero point, which moves the even numbers if it is odd.
            odd = self.form is Format.QONNX and output.zero_point % 2
            rounding = Rounding.HALF_UP if odd else Rounding.HALF_EVEN
        if rounding is Rounding.HALF_UP:
            half = self.add_constant(f"{layer.name}.half", np.array(scale / 2, np.float32))
            result = self.add_node("Add", [result, half], f"{layer.name}.moved")
            rounding = Rounding.FLOOR
        self.real[layer.name] = self.quantize(layer.name, result, output, rounding, spec.clamp)

    def _add_slopes(self, name: str, spec: Requantize, result: str) -> str:
        """Write the factors of negative results, as LeakyRelu if there is one for all channels."""
        shape = self.network.tensors[name].shape
        slopes = [float(channel_slope(spec, channel)) for channel in range(shape[0])]
        if len(set(slopes)) == 1:
            return self.add_node("LeakyRelu", [result], f"{name}.sloped", alpha=slopes[0])
        by = np.array(slopes, np.float32).reshape(-1, *[1] * (len(shape) - 1))
        given = [result, self.add_constant(f"{name}.slopes", by)]
        return self.add_node("PRelu", given, f"{name}.sloped")

    def _has_ties(self, layer: Requantized) -> bool:
        """Whether a sum can lie exactly between two outputs."""
        bounds = layer.accumulator_range(self.network.inputs_of(layer))
        largest = max(map(abs, bounds))
        channels = self.network.tensors[layer.name].shape[0]
        spec = layer.requantize
        factors = {channel_factor(spec, channel) for channel in range(channels)}
        factors |= {
            abs(channel_factor(spec, channel) * channel_slope(spec, channel))
            for channel in range(channels)
        }
        # For a fraction in lowest terms over 2**s, multiples of 2**(s-1) give halves.
        return any(
            factor.denominator > 1 and largest >= factor.denominator // 2 for factor in factors
        )

    def rescale_input(self, layer: str, source: str, number: int, wanted: Fraction) -> str:
        """Give a tensor at another scale, for input `number` of a layer."""
        if wanted == self.scales[source]:
            return self.real[source]
        by = np.array(float(wanted / self.scales[source]), np.float32)
        factor = self.add_constant(f"{layer}.factor{number}", by)
        return self.add_node("Mul", [self.real[source], factor], f"{layer}.scaled{number}")

    def rescale_result(self, layer: Add | Multiply | AvgPool2d, result: str) -> str:
        """Multiply a result to the scale of the layer's output, if that could not be chosen."""
        shape = self.network.tensors[layer.name].shape
        unit = self.scales[layer.inputs[0]]
        match layer:
            case AvgPool2d():
                unit /= layer.divisor(self.network.tensors[layer.input].shape)
            case Add():
                unit /= layer.multipliers[0]
            case Multiply():
                unit *= self.scales[layer.inputs[1]]
        spec = layer.requantize
        silent = np.broadcast_to(spec.multiplier == 0, shape[0])
        wanted = [
            Fraction(0) if silent[c] else channel_factor(spec, c) * self.scales[layer.name] / unit
            for c in range(shape[0])
        ]
        if all(factor == 1 for factor in wanted):
            return result
        by = np.array([float(factor) for factor in wanted], np.float32)
        factor = self.add_constant(f"{layer.name}.rescale", by.reshape(-1, *[1] * (len(shape) - 1)))
        return self.add_node("Mul", [result, factor], f"{layer.name}.rescaled")

    def quantize(
        self,
        name: str,
        source: str,
        act: ActType,
        rounding: Rounding,
        clamp: tuple[int, int] | None = None,
    ) -> str:
        """Quantize a real tensor, and give the real tensor of the result."""
        scale = np.array(float(self.scales[name]), np.float32)
        low, high = clamp or (act.low, act.high)
        if self.form is Format.QONNX:
            if clamp is not None:
                source = self._clip(name, source, act, (low, high), rounding)
            return self.add_qonnx(
                "Quant",
                [
                    source,
                    self.add_constant(f"{name}.scale", scale),
                    self.add_constant(f"{name}.zero", np.array(act.zero_point, np.float32)),
                    self.add_constant(f"{name}.bits", np.array(act.bits, np.float32)),
                ],
                f"{name}.quant",
                signed=int(act.signed),
                narrow=0,
                rounding_mode="FLOOR" if rounding is Rounding.FLOOR else "ROUND",
            )
        dtype = storage_type(act.bits, act.signed)
        limits = np.iinfo(dtype)
        if rounding is Rounding.FLOOR:
            unit = self.add_constant(f"{name}.unit", scale)
            ratio = self.add_node("Div", [source, unit], f"{name}.ratio")
            whole = self.add_node("Floor", [ratio], f"{name}.whole")
            source = self.add_node("Mul", [whole, unit], f"{name}.floored")
        if (low, high) != (limits.min, limits.max):
            source = self._clip(name, source, act, (low, high), Rounding.HALF_EVEN)
        parameters = [
            self.add_constant(f"{name}.scale", scale),
            self.add_constant(f"{name}.zero", np.array(act.zero_point, dtype)),
        ]
        integers = self.add_node("QuantizeLinear", [source, *parameters], f"{name}.q")
        return self.add_node("DequantizeLinear", [integers, *parameters], f"{name}.dq")

    def _clip(
        self, name: str, source: str, act: ActType, bounds: tuple[int, int], rounding: Rounding
    ) -> str:
        scale = float(self.scales[name])
        low, high = (scale * (bound - act.zero_point) for bound in bounds)
        # A float just below a bound must not be rounded to the integer below.
        if rounding is Rounding.FLOOR:
            low, high = low + scale / 4, high + scale / 4
        given = [
            self.add_constant(f"{name}.low", np.array(low, np.float32)),
            self.add_constant(f"{name}.high", np.array(high, np.float32)),
        ]
        return self.add_node("Clip", [source, *given], f"{name}.clip")
