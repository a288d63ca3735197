"""Quantizers and scales of an exported network."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from systolith.exchange.export.counting import count_thresholds
from systolith.exchange.export.float_sums import (
    computes_exactly,
    has_whole_factors,
    loses_zero_point,
)
from systolith.exchange.export.graph import Format, OnnxGraph, storage_type
from systolith.exchange.export.scales import (
    channel_factor,
    channel_slope,
    choose_offsets,
    has_ties,
)
from systolith.exchange.values.quantizer import FloatArray
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
        if spec.thresholds is not None:
            counts = count_thresholds(self, layer, result)
            if self.form is Format.QDQ:
                counts = self.quantize(layer.name, counts, output, Rounding.HALF_EVEN)
            self.real[layer.name] = counts
            return
        if spec.negative is not None:
            result = self._add_slopes(layer.name, spec, result)
        floors = self.form is Format.QONNX and loses_zero_point(self.network, layer)
        if constants := self._choose_offsets(layer):
            offset, rounding = constants
            if floors and rounding is Rounding.HALF_EVEN:
                offset, rounding = offset + 0.5, Rounding.FLOOR
            axes = [1] * (len(self.network.tensors[layer.name].shape) - 1)
            by = (offset * scale).astype(np.float32).reshape(-1, *axes)
            given = [result, self.add_constant(f"{layer.name}.offset", by)]
            result = self.add_node("Add", given, f"{layer.name}.shifted")
        elif rounding.to_nearest and not has_ties(self.network, layer):
            # QONNX rounds after adding the zero point, which moves the even numbers if it is odd.
            odd = self.form is Format.QONNX and output.zero_point % 2
            rounding = Rounding.HALF_UP if odd or floors else Rounding.HALF_EVEN
        if rounding is Rounding.HALF_UP:
            half = self.add_constant(f"{layer.name}.half", np.array(scale / 2, np.float32))
            result = self.add_node("Add", [result, half], f"{layer.name}.moved")
            rounding = Rounding.FLOOR
        if floors and rounding is Rounding.FLOOR:
            result, rounding = self._add_floor(layer.name, result), Rounding.HALF_EVEN
        self.real[layer.name] = self.quantize(layer.name, result, output, rounding, spec.clamp)

    def _choose_offsets(self, layer: Requantized) -> tuple[FloatArray, Rounding] | None:
        """Choose offsets if the layer has some, or if float32 could move its ties."""
        spec = layer.requantize
        if spec.offset is None:
            tied = spec.rounding is Rounding.FLOOR or has_ties(self.network, layer)
            exact = computes_exactly(self.network, layer, self.scales)
            if exact or not tied or not has_whole_factors(self.network, layer):
                return None
        return choose_offsets(self.network, layer)

    def _add_floor(self, name: str, result: str) -> str:
        """Round a result down to whole units of the output."""
        unit = self.add_constant(f"{name}.unit", np.array(float(self.scales[name]), np.float32))
        ratio = self.add_node("Div", [result, unit], f"{name}.ratio")
        whole = self.add_node("Floor", [ratio], f"{name}.whole")
        return self.add_node("Mul", [whole, unit], f"{name}.floored")

    def _add_slopes(self, name: str, spec: Requantize, result: str) -> str:
        """Write the factors of negative results, as LeakyRelu if there is one for all channels."""
        shape = self.network.tensors[name].shape
        slopes = [float(channel_slope(spec, channel)) for channel in range(shape[0])]
        if len(set(slopes)) == 1:
            return self.add_node("LeakyRelu", [result], f"{name}.sloped", alpha=slopes[0])
        by = np.array(slopes, np.float32).reshape(-1, *[1] * (len(shape) - 1))
        given = [result, self.add_constant(f"{name}.slopes", by)]
        return self.add_node("PRelu", given, f"{name}.sloped")

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
            source = self._add_floor(name, source)
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
