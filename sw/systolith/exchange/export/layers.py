"""The layers of an exported network, as nodes of ONNX."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from systolith.exchange.export.graph import Format, storage_type
from systolith.exchange.export.quantizers import QuantizingGraph
from systolith.exchange.export.scales import (
    channel_factor,
)
from systolith.network import (
    Add,
    ArgMax,
    AvgPool2d,
    Concat,
    Conv2d,
    DepthToSpace,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Multiply,
    Pad2d,
    Padding,
    Rounding,
    SelectChannels,
    SpaceToDepth,
    Table,
    Upsample,
    add_padding,
)

__all__ = ["ExportGraph"]

Float = NDArray[np.float32]
Weighted = Conv2d | Linear


class ExportGraph(QuantizingGraph):
    """A graph that layers are added to."""

    def add(self, layer: Layer) -> None:
        """Write a layer, and its quantizer if it has arithmetic."""
        match layer:
            case MaxPool2d():
                self.real[layer.name] = self.add_node(
                    "MaxPool", [self.real[layer.input]], layer.name, **_window(layer)
                )
            case Pad2d():
                self.real[layer.name] = self._add_pad(layer)
            case Upsample():
                by = np.array([1, 1, *layer.factors], np.float32)
                given = [self.real[layer.input], "", self.add_constant(f"{layer.name}.scales", by)]
                self.real[layer.name] = self.add_node(
                    "Resize",
                    given,
                    layer.name,
                    mode="nearest",
                    coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor",
                )
            case Flatten():
                self.real[layer.name] = self.add_node(
                    "Flatten", [self.real[layer.input]], layer.name
                )
            case Concat():
                parts = [
                    self.rescale_input(layer.name, name, number, self.scales[layer.name])
                    for number, name in enumerate(layer.inputs)
                ]
                self.real[layer.name] = self.add_node("Concat", parts, layer.name, axis=1)
            case SelectChannels():
                channels = np.array(layer.channels, np.int64)
                given = [self.real[layer.input], f"{layer.name}.channels"]
                self.add_constant(f"{layer.name}.channels", channels)
                self.real[layer.name] = self.add_node("Gather", given, layer.name, axis=1)
            case ArgMax():
                given = [self.real[layer.input]]
                self.real[layer.name] = self.add_node("ArgMax", given, layer.name, axis=1)
            case DepthToSpace() | SpaceToDepth():
                self.real[layer.name] = self._add_blocks(layer)
            case Conv2d() | Linear():
                self.requantize(layer, self._add_weighted(layer))
            case AvgPool2d():
                self.requantize(layer, self.rescale_result(layer, self._add_average(layer)))
            case Add():
                self.requantize(layer, self.rescale_result(layer, self._add_sum(layer)))
            case Multiply():
                factors = [self.real[name] for name in layer.inputs]
                product = self.add_node("Mul", factors, layer.name)
                self.requantize(layer, self.rescale_result(layer, product))
            case Table():
                # QONNX rounds after adding the zero point: dropping a half is right for any.
                floor = self.form is Format.QONNX
                rounding = Rounding.FLOOR if floor else Rounding.HALF_EVEN
                result = self._add_table(layer, 0.5 if floor else 0.0)
                self.real[layer.name] = self.quantize(layer.name, result, layer.output, rounding)

    def _add_blocks(self, layer: DepthToSpace | SpaceToDepth) -> str:
        """Write square blocks by the operator of ONNX, others by a transpose between reshapes."""
        given, name = self.real[layer.input], layer.name
        if isinstance(layer.block, int):
            return self.add_node(type(layer).__name__, [given], name, blocksize=layer.block)
        rows, columns = layer.block
        channels, height, width = self.network.tensors[name].shape
        if isinstance(layer, DepthToSpace):
            parts = [rows, columns, channels, height // rows, width // columns]
            order = [0, 3, 4, 1, 5, 2]
        else:
            parts = [channels // (rows * columns), height, rows, width, columns]
            order = [0, 3, 5, 1, 2, 4]
        given = self._reshape(given, parts, f"{name}.blocks")
        given = self.add_node("Transpose", [given], f"{name}.moved", perm=order)
        return self._reshape(given, [channels, height, width], name)

    def _reshape(self, given: str, shape: Sequence[int], name: str) -> str:
        """Write the shape of one image; 0 keeps the number of images."""
        sizes = self.add_constant(f"{name}.shape", np.array([0, *shape], np.int64))
        return self.add_node("Reshape", [given, sizes], name)

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
            return self.add_node("Gemm", inputs, layer.name, transB=1)
        return self.add_node("Conv", inputs, layer.name, group=layer.groups, **_window(layer))

    def _weights(self, layer: Weighted, weight: NDArray[np.int64], scale: Float) -> str:
        name = f"{layer.name}.weight"
        if self.form is Format.QDQ:
            stored = self.add_constant(
                f"{name}_q", weight.astype(storage_type(layer.weight_bits, True))
            )
            given = [stored, self.add_constant(f"{name}_scale", scale)]
            return self.add_node("DequantizeLinear", given, name, axis=0)
        by = scale.reshape(-1, *[1] * (weight.ndim - 1))
        stored = self.add_constant(f"{name}_real", (weight * by).astype(np.float32))
        if layer.weight_bits == 1 and (weight != 0).all():
            return self.add_qonnx(
                "BipolarQuant", [stored, self.add_constant(f"{name}_scale", by)], name
            )
        return self.add_qonnx(
            "Quant",
            [
                stored,
                self.add_constant(f"{name}_scale", by),
                self.add_constant(f"{name}_zero", np.zeros(1, np.float32)),
                self.add_constant(f"{name}_bits", np.array(max(layer.weight_bits, 2), np.float32)),
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
            return self.add_constant(name, real.astype(np.float32))
        stored = self.add_constant(f"{name}_q", bias.astype(np.int32))
        return self.add_node(
            "DequantizeLinear", [stored, self.add_constant(f"{name}_scale", unit)], name, axis=0
        )

    def _add_average(self, layer: AvgPool2d) -> str:
        source = [self.real[layer.input]]
        if layer.kernel_size is None:
            return self.add_node("GlobalAveragePool", source, layer.name)
        counted = layer.counted
        if counted is None:
            return self.add_node(
                "AveragePool", source, layer.name, count_include_pad=1, **_window(layer)
            )
        if any(counted):
            pads = self._add_pads(layer.name, counted)
            source = [self.add_node("Pad", [*source, pads], f"{layer.name}.padded")]
        rest = add_padding(layer.padding, (-counted[0], -counted[1], -counted[2], -counted[3]))
        window = _window(replace(layer, padding=rest, counted=None))
        return self.add_node("AveragePool", source, layer.name, count_include_pad=0, **window)

    def _add_pad(self, layer: Pad2d) -> str:
        given = [self.real[layer.input], self._add_pads(layer.name, layer.padding)]
        if layer.edge:
            return self.add_node("Pad", given, layer.name, mode="edge")
        act = self.network.tensors[layer.input].type
        if steps := layer.fill(act) - act.zero_point:
            # As the dequantizer computes it, in float32.
            fill = np.float32(steps) * np.float32(float(self.scales[layer.input]))
            given.append(self.add_constant(f"{layer.name}.fill", np.array(fill, np.float32)))
        return self.add_node("Pad", given, layer.name)

    def _add_pads(self, name: str, padding: Padding) -> str:
        top, bottom, left, right = padding
        pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        return self.add_constant(f"{name}.pads", pads)

    def _add_sum(self, layer: Add) -> str:
        a, b = layer.inputs
        wanted = self.scales[a] * Fraction(layer.multipliers[1], layer.multipliers[0])
        second = self.rescale_input(layer.name, b, 1, wanted)
        return self.add_node("Add", [self.real[a], second], layer.name)

    def _add_table(self, layer: Table, added: float) -> str:
        """Write a table as a Gather: real values, by the integer of the input.

        `added` is a fraction of a unit that the quantizer behind it drops.
        """
        act, name = self.network.tensors[layer.input].type, layer.name
        unit = np.array(float(self.scales[layer.input]), np.float32)
        first = np.array(act.zero_point - act.low, np.float32)
        steps = [self.real[layer.input], self.add_constant(f"{name}.input_scale", unit)]
        whole = self.add_node(
            "Round", [self.add_node("Div", steps, f"{name}.steps")], f"{name}.whole"
        )
        moved = [whole, self.add_constant(f"{name}.first", first)]
        places = self.add_node("Add", moved, f"{name}.places")
        stored = np.iinfo(storage_type(act.bits, act.signed))
        if self.form is Format.QDQ and (act.low, act.high) != (stored.min, stored.max):
            # Who reads the file does not see that a wider type holds no other values.
            ends = [
                self.add_constant(f"{name}.{side}_place", np.array(place, np.float32))
                for side, place in (("first", 0), ("last", act.high - act.low))
            ]
            places = self.add_node("Clip", [places, *ends], f"{name}.inside")
        places = self.add_node("Cast", [places], f"{name}.index", to=TensorProto.INT64)
        real = (layer.values - layer.output.zero_point + added) * float(self.scales[name])
        table = self.add_constant(f"{name}.table", real.astype(np.float32))
        return self.add_node("Gather", [table, places], name, axis=0)


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
