"""The ONNX graph of an exported network: its nodes and constants."""

from collections.abc import Mapping, Sequence
from enum import Enum
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from systolith.exchange.file.loading import QONNX_DOMAIN
from systolith.network import INPUT, ArgMax, IntegerNetwork

__all__ = ["Format", "OnnxGraph", "storage_type"]

IR_VERSION = 10


class Format(Enum):
    """How quantization is written."""

    QONNX = "qonnx"
    """Quant nodes, for QONNX, FINN and hls4ml."""
    QDQ = "qdq"
    """QuantizeLinear and DequantizeLinear, for ONNX Runtime and everything else."""


class OnnxGraph:
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

    def add_node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node, and give its output."""
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def add_qonnx(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node of QONNX's domain, and give its output."""
        return self.add_node(op, inputs, output, domain=QONNX_DOMAIN, **attributes)

    def add_constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant, and give its name."""
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
        classes = name != INPUT and isinstance(self.network[name], ArgMax)
        kind = TensorProto.INT64 if classes else TensorProto.FLOAT
        return helper.make_tensor_value_info(tensor, kind, shape)


def storage_type(bits: int, signed: bool) -> type[np.int8 | np.int16 | np.uint8 | np.uint16]:
    """Choose the narrowest type of ONNX and NumPy for integers of this many bits."""
    if signed:
        return np.int8 if bits <= 8 else np.int16
    return np.uint8 if bits <= 8 else np.uint16
