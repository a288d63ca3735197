"""The ONNX graph of an exported network: nodes, constants and quantizers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from systolith.exchange.export_scales import (
    channel_factor,
    choose_offsets,
)
from systolith.exchange.file.loading import QONNX_DOMAIN
from systolith.network import (
    INPUT,
    ActType,
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    DepthToSpace,
    Flatten,
    IntegerNetwork,
    Layer,
    Linear,
    MaxPool2d,
    Pad2d,
    Padding,
    Requantize,
    Rounding,
    SelectChannels,
    SpaceToDepth,
    Table,
    Upsample,
    add_padding,
)

__all__ = ["ExportGraph", "Format"]

IR_VERSION = 10
Float = NDArray[np.float32]
Weighted = Conv2d | Linear


class Format(Enum):
    """How quantization is written."""

    QONNX = "qonnx"
    """Quant nodes, for QONNX, FINN and hls4ml."""
    QDQ = "qdq"
    """QuantizeLinear and DequantizeLinear, for ONNX Runtime and everything else."""


class ExportGraph:
    """The nodes and constants written so far."""

    def __init__(
        self, network: IntegerNetwork, form: Format, scales: Mapping[str, Fraction]
    ) -> None:
        self.network = network
        self.form = form
        self.scales = scales
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        self.real: dict[str, str] = {}
        """Tensor of the real values, by layer."""
        source = network.input.type
        self.real[INPUT] = self._quantize(INPUT, INPUT, source, Rounding.HALF_EVEN)

    def add(self, layer: Layer) -> None:
        """Write a layer, and its quantizer if it has arithmetic."""
        match layer:
            case MaxPool2d():
                self.real[layer.name] = self._add_node(
                    "MaxPool", [self.real[layer.input]], layer.name, **_window(layer)
                )
            case Pad2d():
                self.real[layer.name] = self._add_pad(layer)
            case Upsample():
                by = np.array([1, 1, *layer.factors], np.float32)
                given = [self.real[layer.input], "", self._add_constant(f"{layer.name}.scales", by)]
                self.real[layer.name] = self._add_node(
                    "Resize",
                    given,
                    layer.name,
                    mode="nearest",
                    coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor",
                )
            case Flatten():
                self.real[layer.name] = self._add_node(
                    "Flatten", [self.real[layer.input]], layer.name
                )
            case Concat():
                parts = [
                    self._scaled(layer.name, name, number, self.scales[layer.name])
                    for number, name in enumerate(layer.inputs)
                ]
                self.real[layer.name] = self._add_node("Concat", parts, layer.name, axis=1)
            case SelectChannels():
                channels = np.array(layer.channels, np.int64)
                given = [self.real[layer.input], f"{layer.name}.channels"]
                self._add_constant(f"{layer.name}.channels", channels)
                self.real[layer.name] = self._add_node("Gather", given, layer.name, axis=1)
            case DepthToSpace() | SpaceToDepth():
                kind = type(layer).__name__
                given = [self.real[layer.input]]
                self.real[layer.name] = self._add_node(
                    kind, given, layer.name, blocksize=layer.block
                )
            case Conv2d() | Linear():
                self._requantize(layer, self._add_weighted(layer))
            case AvgPool2d():
                self._requantize(layer, self._rescale(layer, self._add_average(layer)))
            case Add():
                self._requantize(layer, self._rescale(layer, self._add_sum(layer)))
            case Table():
                # QONNX rounds after adding the zero point: dropping a half is right for any.
                floor = self.form is Format.QONNX
                rounding = Rounding.FLOOR if floor else Rounding.HALF_EVEN
                result = self._add_table(layer, 0.5 if floor else 0.0)
                self.real[layer.name] = self._quantize(layer.name, result, layer.output, rounding)

    def _add_weighted(self, layer: Weighted) -> str:
        """Write a convolution or matrix product; the multiplier joins the weights' scales."""
        unit = self.scales[layer.name] / self.scales[layer.input]
        spec, filters = layer.requantize, len(layer.weight)
        zero = spec.multiplier == 0
        scale = np.array(
            [float(unit * channel_factor(spec, c)) for c in range(filters)], np.float32
        )
        silent = np.broadcast_to(zero, filters)
        weight = layer.weight * ~silent.reshape(-1, *[1] * (layer.weight.ndim - 1))
        bias = np.where(silent, 0, layer.bias)
        inputs = [
            self.real[layer.input],
            self._weights(layer, weight, scale),
            self._bias(layer, bias, scale),
        ]
        if isinstance(layer, Linear):
            return self._add_node("Gemm", inputs, layer.name, transB=1)
        return self._add_node("Conv", inputs, layer.name, group=layer.groups, **_window(layer))

    def _weights(self, layer: Weighted, weight: NDArray[np.int64], scale: Float) -> str:
        name = f"{layer.name}.weight"
        if self.form is Format.QDQ:
            stored = self._add_constant(
                f"{name}_q", weight.astype(_storage(layer.weight_bits, True))
            )
            given = [stored, self._add_constant(f"{name}_scale", scale)]
            return self._add_node("DequantizeLinear", given, name, axis=0)
        by = scale.reshape(-1, *[1] * (weight.ndim - 1))
        stored = self._add_constant(f"{name}_real", (weight * by).astype(np.float32))
        if layer.weight_bits == 1 and (weight != 0).all():
            return self._add_qonnx(
                "BipolarQuant", [stored, self._add_constant(f"{name}_scale", by)], name
            )
        return self._add_qonnx(
            "Quant",
            [
                stored,
                self._add_constant(f"{name}_scale", by),
                self._add_constant(f"{name}_zero", np.zeros(1, np.float32)),
                self._add_constant(f"{name}_bits", np.array(max(layer.weight_bits, 2), np.float32)),
            ],
            name,
            signed=1,
            narrow=0,
            rounding_mode="ROUND",
        )

    def _bias(self, layer: Weighted, bias: NDArray[np.int64], scale: Float) -> str:
        """Write biases as integers if 32 bits hold them, otherwise as floats."""
        unit = np.float32(self.scales[layer.input]) * scale
        name = f"{layer.name}.bias"
        if self.form is Format.QONNX or np.abs(bias).max(initial=0) >= 1 << 31:
            real = bias.astype(np.float64) * unit.astype(np.float64)
            return self._add_constant(name, real.astype(np.float32))
        stored = self._add_constant(f"{name}_q", bias.astype(np.int32))
        return self._add_node(
            "DequantizeLinear", [stored, self._add_constant(f"{name}_scale", unit)], name, axis=0
        )

    def _add_average(self, layer: AvgPool2d) -> str:
        source = [self.real[layer.input]]
        if layer.kernel_size is None:
            return self._add_node("GlobalAveragePool", source, layer.name)
        counted = layer.counted
        if counted is None:
            return self._add_node(
                "AveragePool", source, layer.name, count_include_pad=1, **_window(layer)
            )
        if any(counted):
            pads = self._add_pads(layer.name, counted)
            source = [self._add_node("Pad", [*source, pads], f"{layer.name}.padded")]
        rest = add_padding(layer.padding, (-counted[0], -counted[1], -counted[2], -counted[3]))
        window = _window(replace(layer, padding=rest, counted=None))
        return self._add_node("AveragePool", source, layer.name, count_include_pad=0, **window)

    def _add_pad(self, layer: Pad2d) -> str:
        given = [self.real[layer.input], self._add_pads(layer.name, layer.padding)]
        act = self.network.tensors[layer.input].type
        if steps := layer.fill(act) - act.zero_point:
            # As the dequantizer computes it, in float32.
            fill = np.float32(steps) * np.float32(float(self.scales[layer.input]))
            given.append(self._add_constant(f"{layer.name}.fill", np.array(fill, np.float32)))
        return self._add_node("Pad", given, layer.name)

    def _add_pads(self, name: str, padding: Padding) -> str:
        top, bottom, left, right = padding
        pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        return self._add_constant(f"{name}.pads", pads)

    def _scaled(self, layer: str, source: str, number: int, wanted: Fraction) -> str:
        """Give a tensor at another scale, for input `number` of a layer."""
        if wanted == self.scales[source]:
            return self.real[source]
        by = np.array(float(wanted / self.scales[source]), np.float32)
        factor = self._add_constant(f"{layer}.factor{number}", by)
        return self._add_node("Mul", [self.real[source], factor], f"{layer}.scaled{number}")

    def _add_sum(self, layer: Add) -> str:
        a, b = layer.inputs
        wanted = self.scales[a] * Fraction(layer.multipliers[1], layer.multipliers[0])
        second = self._scaled(layer.name, b, 1, wanted)
        return self._add_node("Add", [self.real[a], second], layer.name)

    def _add_table(self, layer: Table, added: float) -> str:
        """Write a table as a Gather: real values, by the integer of the input.

        `added` is a fraction of a unit that the quantizer behind it drops.
        """
        act, name = self.network.tensors[layer.input].type, layer.name
        unit = np.array(float(self.scales[layer.input]), np.float32)
        first = np.array(act.zero_point - act.low, np.float32)
        steps = [self.real[layer.input], self._add_constant(f"{name}.input_scale", unit)]
        whole = self._add_node(
            "Round", [self._add_node("Div", steps, f"{name}.steps")], f"{name}.whole"
        )
        moved = [whole, self._add_constant(f"{name}.first", first)]
        places = self._add_node("Add", moved, f"{name}.places")
        places = self._add_node("Cast", [places], f"{name}.index", to=TensorProto.INT64)
        real = (layer.values - layer.output.zero_point + added) * float(self.scales[name])
        table = self._add_constant(f"{name}.table", real.astype(np.float32))
        return self._add_node("Gather", [table, places], name, axis=0)

    def _rescale(self, layer: Add | AvgPool2d, result: str) -> str:
        """Multiply a result to the scale of the layer's output, if that could not be chosen."""
        shape = self.network.tensors[layer.name].shape
        source = self.network.tensors[layer.inputs[0]].shape
        unit = self.scales[layer.inputs[0]] / (
            layer.divisor(source) if isinstance(layer, AvgPool2d) else layer.multipliers[0]
        )
        spec = layer.requantize
        silent = np.broadcast_to(spec.multiplier == 0, shape[0])
        wanted = [
            Fraction(0) if silent[c] else channel_factor(spec, c) * self.scales[layer.name] / unit
            for c in range(shape[0])
        ]
        if all(factor == 1 for factor in wanted):
            return result
        by = np.array([float(factor) for factor in wanted], np.float32)
        factor = self._add_constant(
            f"{layer.name}.rescale", by.reshape(-1, *[1] * (len(shape) - 1))
        )
        return self._add_node("Mul", [result, factor], f"{layer.name}.rescaled")

    def _requantize(self, layer: Any, result: str) -> None:
        """Write the layer's clipping, rounding and quantization."""
        spec: Requantize = layer.requantize
        output: ActType = layer.output
        scale = float(self.scales[layer.name])
        rounding = spec.rounding
        if constants := choose_offsets(self.network, layer):
            offset, rounding = constants
            axes = [1] * (len(self.network.tensors[layer.name].shape) - 1)
            by = (offset * scale).astype(np.float32).reshape(-1, *axes)
            given = [result, self._add_constant(f"{layer.name}.offset", by)]
            result = self._add_node("Add", given, f"{layer.name}.shifted")
        elif rounding is Rounding.HALF_UP and not self._has_ties(layer):
            # QONNX rounds after adding the zero point, which moves the even numbers if it is odd.
            odd = self.form is Format.QONNX and output.zero_point % 2
            rounding = Rounding.HALF_UP if odd else Rounding.HALF_EVEN
        if rounding is Rounding.HALF_UP:
            half = self._add_constant(f"{layer.name}.half", np.array(scale / 2, np.float32))
            result = self._add_node("Add", [result, half], f"{layer.name}.moved")
            rounding = Rounding.FLOOR
        self.real[layer.name] = self._quantize(layer.name, result, output, rounding, spec.clamp)

    def _has_ties(self, layer: Conv2d | Linear | Add | AvgPool2d) -> bool:
        """Whether a sum can lie exactly between two outputs."""
        bounds = layer.accumulator_range(self.network.inputs_of(layer))
        largest = max(map(abs, bounds))
        channels = self.network.tensors[layer.name].shape[0]
        factors = {channel_factor(layer.requantize, channel) for channel in range(channels)}
        # For a fraction in lowest terms over 2**s, multiples of 2**(s-1) give halves.
        return any(
            factor.denominator > 1 and largest >= factor.denominator // 2 for factor in factors
        )

    def _quantize(
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
            return self._add_qonnx(
                "Quant",
                [
                    source,
                    self._add_constant(f"{name}.scale", scale),
                    self._add_constant(f"{name}.zero", np.array(act.zero_point, np.float32)),
                    self._add_constant(f"{name}.bits", np.array(act.bits, np.float32)),
                ],
                f"{name}.quant",
                signed=int(act.signed),
                narrow=0,
                rounding_mode="FLOOR" if rounding is Rounding.FLOOR else "ROUND",
            )
        dtype = _storage(act.bits, act.signed)
        limits = np.iinfo(dtype)
        if rounding is Rounding.FLOOR:
            unit = self._add_constant(f"{name}.unit", scale)
            ratio = self._add_node("Div", [source, unit], f"{name}.ratio")
            whole = self._add_node("Floor", [ratio], f"{name}.whole")
            source = self._add_node("Mul", [whole, unit], f"{name}.floored")
        if (low, high) != (limits.min, limits.max):
            source = self._clip(name, source, act, (low, high), Rounding.HALF_EVEN)
        parameters = [
            self._add_constant(f"{name}.scale", scale),
            self._add_constant(f"{name}.zero", np.array(act.zero_point, dtype)),
        ]
        integers = self._add_node("QuantizeLinear", [source, *parameters], f"{name}.q")
        return self._add_node("DequantizeLinear", [integers, *parameters], f"{name}.dq")

    def _clip(
        self, name: str, source: str, act: ActType, bounds: tuple[int, int], rounding: Rounding
    ) -> str:
        scale = float(self.scales[name])
        low, high = (scale * (bound - act.zero_point) for bound in bounds)
        # A float just below a bound must not be rounded to the integer below.
        if rounding is Rounding.FLOOR:
            low, high = low + scale / 4, high + scale / 4
        given = [
            self._add_constant(f"{name}.low", np.array(low, np.float32)),
            self._add_constant(f"{name}.high", np.array(high, np.float32)),
        ]
        return self._add_node("Clip", [source, *given], f"{name}.clip")

    def _add_node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def _add_qonnx(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        return self._add_node(op, inputs, output, domain=QONNX_DOMAIN, **attributes)

    def _add_constant(self, name: str, values: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def make_model(self, opsets: Sequence[onnx.OperatorSetIdProto]) -> ModelProto:
        """Make the model; its outputs are real tensors."""
        outputs = [self._value(self.real[name], name) for name in self.network.outputs]
        graph = helper.make_graph(
            self.nodes,
            self.network.name,
            [self._value(INPUT, INPUT)],
            outputs,
            initializer=self.constants,
        )
        model = helper.make_model(
            graph, opset_imports=list(opsets), ir_version=IR_VERSION, producer_name="systolith"
        )
        helper.set_model_props(model, {"systolith.network": self.network.name})
        return model

    def _value(self, tensor: str, name: str) -> onnx.ValueInfoProto:
        shape: list[str | int | None] = ["N", *self.network.tensors[name].shape]
        return helper.make_tensor_value_info(tensor, TensorProto.FLOAT, shape)


def _window(layer: Conv2d | AvgPool2d | MaxPool2d) -> Mapping[str, Sequence[int]]:
    """Give the attributes of a window."""
    padding: Padding = layer.padding
    top, bottom, left, right = padding
    assert layer.kernel_size is not None
    window = {
        "kernel_shape": list(layer.kernel_size),
        "strides": list(layer.stride),
        "pads": [top, left, bottom, right],
    }
    if not isinstance(layer, AvgPool2d) and layer.dilation != (1, 1):
        window["dilations"] = list(layer.dilation)
    return window


def _storage(bits: int, signed: bool) -> type[np.int8 | np.int16 | np.uint8 | np.uint16]:
    """Choose the narrowest type of ONNX and NumPy for integers of this many bits."""
    if signed:
        return np.int8 if bits <= 8 else np.int16
    return np.uint8 if bits <= 8 else np.uint16
