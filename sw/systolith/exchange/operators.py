"""The operators that can be imported, each with what of it is supported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from systolith.exchange import (
    arithmetic_nodes,
    clamp_nodes,
    pool_nodes,
    qlinear_nodes,
    quantizer_nodes,
    shape_nodes,
    weighted_nodes,
)
from systolith.exchange.building import Building
from systolith.exchange.model_file import Node
from systolith.exchange.values import Value

__all__ = ["OPERATORS", "REWRITES", "Operator", "operator_rows"]

Handler = Callable[[Node, Sequence[Value], Building], Value]


@dataclass(frozen=True, slots=True)
class Operator:
    """How to import one kind of node.

    Attributes
    ----------
    run : callable
        Gives what the node's first output stands for.
    becomes : str
        Layer of the contract, in words.
    limits : str
        What of it is supported, in words.
    """

    run: Handler
    becomes: str
    limits: str


CONV = "one group or depthwise, no dilation; zero padding, also auto_pad"
POOL = "no dilation, no ceil_mode"
CONSTANTS = "constants, one or one for each channel"
PART = "part of the layer before it"

OPERATORS: Mapping[str, Operator] = {
    "Conv": Operator(weighted_nodes.convolve, "Conv2d", CONV),
    "Gemm": Operator(weighted_nodes.gemm, "Linear", "alpha and beta 1, activations as they are"),
    "MatMul": Operator(weighted_nodes.matmul, "Linear", "an activation and constant weights"),
    "BatchNormalization": Operator(
        weighted_nodes.batch_norm, PART, "right after Conv, Gemm or MatMul"
    ),
    "Relu": Operator(clamp_nodes.relu, PART, ""),
    "Clip": Operator(clamp_nodes.clip, PART, "constant bounds"),
    "Floor": Operator(clamp_nodes.floor, PART, "before a quantizer of the same steps"),
    "MaxPool": Operator(pool_nodes.max_pool, "MaxPool2d", POOL),
    "AveragePool": Operator(
        pool_nodes.average_pool, "AvgPool2d", "count_include_pad=1 where there is padding"
    ),
    "GlobalAveragePool": Operator(pool_nodes.global_average_pool, "AvgPool2d", ""),
    "ReduceMean": Operator(pool_nodes.reduce_mean, "AvgPool2d", "over height and width"),
    "Add": Operator(
        arithmetic_nodes.add, "Add, or part of the layer before it", "two activations, or constants"
    ),
    "Sub": Operator(arithmetic_nodes.subtract, PART, CONSTANTS),
    "Mul": Operator(arithmetic_nodes.multiply, PART, CONSTANTS),
    "Div": Operator(arithmetic_nodes.divide, PART, CONSTANTS),
    "Pad": Operator(shape_nodes.pad, "padding of the layer after it", "zeros, height and width"),
    "Flatten": Operator(shape_nodes.flatten, "Flatten", "axis 1"),
    "Reshape": Operator(shape_nodes.reshape, "Flatten", "images to vectors"),
    "Squeeze": Operator(shape_nodes.reshape, "Flatten", "images of one pixel to vectors"),
    "Transpose": Operator(shape_nodes.transpose, "nothing", "of constants"),
    "Identity": Operator(shape_nodes.identity, "nothing", ""),
    "Dropout": Operator(shape_nodes.identity, "nothing", ""),
    "Quant": Operator(
        quantizer_nodes.quant,
        "requantization of the layer before it",
        "QONNX; ROUND and FLOOR, of results >= 0 also HALF_UP and DOWN",
    ),
    "IntQuant": Operator(quantizer_nodes.quant, "as Quant", "QONNX"),
    "BipolarQuant": Operator(quantizer_nodes.bipolar_quant, "weights of one bit", "QONNX; weights"),
    "QuantizeLinear": Operator(
        quantizer_nodes.quantize_linear,
        "requantization of the layer before it",
        "to 4, 8 or 16 bits; one scale and zero point for activations",
    ),
    "DequantizeLinear": Operator(
        quantizer_nodes.dequantize_linear, "nothing", "of constants, one scale or one per channel"
    ),
    "QLinearConv": Operator(qlinear_nodes.q_linear_conv, "Conv2d", CONV),
    "QLinearMatMul": Operator(qlinear_nodes.q_linear_matmul, "Linear", "constant weights"),
    "QGemm": Operator(qlinear_nodes.q_gemm, "Linear", "ONNX Runtime's; a quantized result"),
    "QLinearAdd": Operator(qlinear_nodes.q_linear_add, "Add", "ONNX Runtime's"),
    "QLinearAveragePool": Operator(
        qlinear_nodes.q_linear_average_pool, "AvgPool2d", "ONNX Runtime's; channels first"
    ),
    "QLinearGlobalAveragePool": Operator(
        qlinear_nodes.q_linear_global_average_pool, "AvgPool2d", "ONNX Runtime's; channels first"
    ),
}

REWRITES: Mapping[str, str] = {
    "Softmax": "leave it out: the greatest logit is the same",
    "LogSoftmax": "leave it out: the greatest logit is the same",
    "ArgMax": "leave it out: the host finds the greatest logit",
    "TopK": "leave it out: the host finds the greatest logits",
    "Sigmoid": "as last layer leave it out, its order is that of the logits; else use Relu",
    "HardSigmoid": "use Relu or Clip",
    "HardSwish": "use Relu or Clip",
    "LeakyRelu": "use Relu",
    "PRelu": "use Relu",
    "Elu": "use Relu",
    "Gelu": "use Relu",
    "Tanh": "use Clip",
    "ConvTranspose": "use strided convolutions only",
    "Concat": "add the branches instead of putting them beside each other",
    "Upsample": "not supported yet",
    "Resize": "not supported yet",
    "GlobalMaxPool": "use MaxPool with a kernel as large as the image",
    "LayerNormalization": "use BatchNormalization",
    "InstanceNormalization": "use BatchNormalization",
    "ConvInteger": "quantize statically: QuantizeLinear with constant scales",
    "MatMulInteger": "quantize statically: QuantizeLinear with constant scales",
    "DynamicQuantizeLinear": "quantize statically: QuantizeLinear with constant scales",
    "Trunc": "use a Quant with rounding_mode FLOOR",
    "MultiThreshold": "export before streamlining: Quant nodes are read",
    "LSTM": "feed-forward convolutional networks are supported",
    "GRU": "feed-forward convolutional networks are supported",
    "RNN": "feed-forward convolutional networks are supported",
    "Attention": "feed-forward convolutional networks are supported",
}
"""What to write instead of common operators that are not supported."""


def operator_rows() -> list[str]:
    """Lines of the table of operators, for the documentation."""
    rows = ["| operator | becomes | supported |", "|---|---|---|"]
    for name, each in sorted(OPERATORS.items()):
        rows.append(f"| {name} | {each.becomes} | {each.limits} |")
    return rows
