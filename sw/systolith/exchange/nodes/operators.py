"""The operators that can be imported, each with what of it is supported."""

from collections.abc import Mapping

from systolith.exchange.file.model_file import Node
from systolith.exchange.nodes import (
    arithmetic,
    integers,
    pools,
    qlinear,
    quantizers,
    shapes,
    weighted,
)
from systolith.exchange.nodes.adapters import DOMAIN, along_one_axis, channels_last
from systolith.exchange.nodes.declarations import (
    ANY,
    AVERAGING,
    BLOCKS,
    CHANNELS_LAST_FLAG,
    CONVOLUTION,
    MAX_POOLING,
    QUANT_ATTRIBUTES,
    TRANSPOSED,
    Attribute,
    Operator,
    accept_float,
    accept_one,
    accept_zero,
)
from systolith.exchange.nodes.integers import keeping_integers

__all__ = ["OPERATORS", "operator_of", "operator_rows"]

MAX_POOL = along_one_axis(pools.max_pool)
Q_LINEAR_CONV = along_one_axis(qlinear.q_linear_conv)
Q_LINEAR_AVERAGE_POOL = along_one_axis(qlinear.q_linear_average_pool)
Q_LINEAR_GLOBAL_AVERAGE_POOL = along_one_axis(qlinear.q_linear_global_average_pool)
GLOBAL_MAX_POOL = along_one_axis(pools.global_max_pool)
CONV = "along one axis or two; any groups, no dilation; zero padding, also auto_pad"
POOL = "no dilation, no ceil_mode"
CONSTANTS = "constants, one or one for each channel"
PART = "part of the layer before it"
QUANT_INPUTS = "x scale zero_point bit_width"
TWO = "A B"
MOVES = "whole images, before the first quantizer or between layers"


OPERATORS: Mapping[str, Operator] = {
    "Conv": Operator(along_one_axis(weighted.convolve), "Conv2d", CONV, "X W B?", CONVOLUTION),
    "Gemm": Operator(
        weighted.gemm,
        "Linear",
        "activations as they are",
        "A B C?",
        {
            "alpha": Attribute(default=1.0),
            "beta": Attribute(default=1.0),
            "transA": TRANSPOSED,
            "transB": Attribute(default=0),
        },
    ),
    "MatMul": Operator(weighted.matmul, "Linear", "an activation and constant weights", TWO),
    "BatchNormalization": Operator(
        arithmetic.batch_norm,
        PART,
        "right after Conv, Gemm, MatMul or a quantizer; not in training",
        "X scale B mean var",
        {
            "epsilon": Attribute(default=1e-5),
            "momentum": ANY,
            "training_mode": accept_zero(
                "has training_mode {value}, so it reads the batch; export the model for inference "
                "(model.eval())"
            ),
        },
    ),
    "Relu": Operator(arithmetic.relu, PART, "", integers=arithmetic.relu),
    "Clip": Operator(
        arithmetic.clip,
        PART,
        "constant bounds",
        "input min? max?",
        {"min": ANY, "max": ANY},
        arithmetic.clip,
    ),
    "Min": Operator(arithmetic.minimum, PART, "of a constant", TWO, integers=arithmetic.minimum),
    "Max": Operator(arithmetic.maximum, PART, "of a constant", TWO, integers=arithmetic.maximum),
    "Floor": Operator(arithmetic.floor, PART, "before a quantizer of the same steps"),
    "MaxPool": Operator(
        MAX_POOL,
        "MaxPool2d",
        POOL,
        "X",
        MAX_POOLING,
        keeping_integers(MAX_POOL),
    ),
    "GlobalMaxPool": Operator(
        GLOBAL_MAX_POOL,
        "MaxPool2d",
        "",
        integers=keeping_integers(GLOBAL_MAX_POOL),
    ),
    "AveragePool": Operator(
        along_one_axis(pools.average_pool),
        "AvgPool2d",
        "count_include_pad=1 where there is padding",
        "X",
        AVERAGING,
    ),
    "GlobalAveragePool": Operator(along_one_axis(pools.global_average_pool), "AvgPool2d", ""),
    "ReduceMean": Operator(
        pools.reduce_mean,
        "AvgPool2d",
        "over height and width",
        "data axes?",
        {
            "axes": ANY,
            "keepdims": Attribute(default=1),
            "noop_with_empty_axes": Attribute(default=0),
        },
    ),
    "Add": Operator(
        arithmetic.add,
        "Add, or part of the layer before it",
        "two activations, or constants",
        TWO,
    ),
    "Sum": Operator(arithmetic.add, "as Add", "of two", TWO),
    "Sub": Operator(arithmetic.subtract, PART, CONSTANTS, TWO),
    "Mul": Operator(arithmetic.multiply, PART, CONSTANTS, TWO),
    "Div": Operator(arithmetic.divide, PART, CONSTANTS, TWO),
    "Pad": Operator(
        shapes.pad,
        "padding of the layer after it",
        "zeros, height and width; anything before the first quantizer",
        "data pads? constant_value? axes?",
        {
            "mode": Attribute(
                default="constant",
                accepts=lambda value: value == "constant",
                words="pads by '{value}'; constant is supported: zeros",
            ),
            "pads": ANY,
            "value": ANY,
        },
        integers.pad_integers,
    ),
    "Flatten": Operator(
        shapes.flatten,
        "Flatten",
        "axis 1",
        "input",
        {"axis": Attribute(default=1)},
        keeping_integers(shapes.flatten),
    ),
    "Reshape": Operator(
        shapes.reshape,
        "Flatten, or nothing",
        MOVES,
        "data shape",
        {"allowzero": Attribute(default=0)},
        keeping_integers(shapes.reshape),
    ),
    "Squeeze": Operator(
        shapes.squeeze,
        "Flatten, or nothing",
        MOVES,
        "data axes?",
        {"axes": ANY},
        keeping_integers(shapes.squeeze),
    ),
    "Unsqueeze": Operator(
        shapes.unsqueeze,
        "nothing",
        MOVES,
        "data axes?",
        {"axes": ANY},
        keeping_integers(shapes.unsqueeze),
    ),
    "Transpose": Operator(
        shapes.transpose,
        "nothing",
        "of images before the first quantizer, of pairs, before Flatten; of constants",
        "data",
        {"perm": ANY},
        keeping_integers(shapes.transpose),
    ),
    "Identity": Operator(shapes.identity, "nothing", "", integers=shapes.identity),
    "Dropout": Operator(
        shapes.dropout,
        "nothing",
        "not in training",
        "data ratio? training_mode?",
        {"ratio": ANY, "seed": ANY},
        shapes.dropout,
    ),
    "Cast": Operator(
        integers.cast,
        "nothing",
        "to a type that holds the same numbers",
        "input",
        {"to": ANY, "saturate": ANY, "round_mode": ANY},
        integers.cast,
    ),
    "CastLike": Operator(
        integers.cast_like,
        "nothing",
        "to the type of what is no constant: reals",
        "input target_type",
        {"saturate": ANY, "round_mode": ANY},
        integers.cast_like,
    ),
    "Quant": Operator(
        quantizers.quant,
        "requantization of the layer before it",
        "QONNX; ROUND and FLOOR, of results >= 0 also HALF_UP and DOWN",
        QUANT_INPUTS,
        QUANT_ATTRIBUTES,
    ),
    "IntQuant": Operator(quantizers.quant, "as Quant", "QONNX", QUANT_INPUTS, QUANT_ATTRIBUTES),
    "BipolarQuant": Operator(
        quantizers.bipolar_quant,
        "weights of one bit; requantization of the layer before it",
        "QONNX; activations not padded with zeros",
        "x scale",
    ),
    "MultiThreshold": Operator(
        quantizers.multi_threshold,
        "as Quant",
        "FINN's and QONNX's; evenly spaced thresholds",
        "x thresholds",
        {
            "out_dtype": ANY,
            "out_scale": Attribute(default=1.0),
            "out_bias": Attribute(default=0.0),
            "data_layout": Attribute(default="NCHW"),
        },
    ),
    "QuantizeLinear": Operator(
        quantizers.quantize_linear,
        "requantization of the layer before it",
        "to 4, 8 or 16 bits; one scale and zero point for activations",
        "x y_scale y_zero_point?",
        {
            "axis": Attribute(default=1),
            "output_dtype": Attribute(default=0),
            "block_size": BLOCKS,
            "precision": accept_float("precision"),
            "saturate": ANY,
        },
    ),
    "DequantizeLinear": Operator(
        quantizers.dequantize_linear,
        "nothing",
        "of what is quantized; of constants, one scale or one per channel",
        "x x_scale x_zero_point?",
        {
            "axis": Attribute(default=1),
            "block_size": BLOCKS,
            "output_dtype": accept_float("output_dtype"),
        },
        quantizers.dequantize_linear,
    ),
    "QLinearConv": Operator(
        Q_LINEAR_CONV,
        "Conv2d",
        CONV,
        "x x_scale x_zero_point w w_scale w_zero_point y_scale y_zero_point B?",
        CONVOLUTION,
        Q_LINEAR_CONV,
    ),
    "QLinearMatMul": Operator(
        qlinear.q_linear_matmul,
        "Linear",
        "constant weights",
        "a a_scale a_zero_point b b_scale b_zero_point y_scale y_zero_point",
        integers=qlinear.q_linear_matmul,
    ),
    "QGemm": Operator(
        qlinear.q_gemm,
        "Linear",
        "ONNX Runtime's; a quantized result",
        "A a_scale a_zero_point B b_scale b_zero_point C? y_scale? y_zero_point?",
        {
            "alpha": accept_one("alpha"),
            "transA": TRANSPOSED,
            "transB": Attribute(default=0),
        },
        qlinear.q_gemm,
    ),
    "QLinearAdd": Operator(
        qlinear.q_linear_add,
        "Add",
        "ONNX Runtime's",
        "A A_scale A_zero_point? B B_scale B_zero_point? C_scale C_zero_point?",
        integers=qlinear.q_linear_add,
    ),
    "QLinearAveragePool": Operator(
        Q_LINEAR_AVERAGE_POOL,
        "AvgPool2d",
        "ONNX Runtime's; channels first",
        "X x_scale x_zero_point? y_scale y_zero_point?",
        {**AVERAGING, **CHANNELS_LAST_FLAG},
        Q_LINEAR_AVERAGE_POOL,
    ),
    "QLinearGlobalAveragePool": Operator(
        Q_LINEAR_GLOBAL_AVERAGE_POOL,
        "AvgPool2d",
        "ONNX Runtime's; channels first",
        "X x_scale x_zero_point y_scale y_zero_point",
        CHANNELS_LAST_FLAG,
        Q_LINEAR_GLOBAL_AVERAGE_POOL,
    ),
}


def _channels_last_operator(name: str) -> Operator:
    standard = OPERATORS[name]
    return Operator(
        channels_last(standard.run),
        standard.becomes,
        f"QONNX's, channels last: {standard.limits}",
        standard.inputs,
        standard.attributes,
    )


CHANNELS_LAST: Mapping[str, Operator] = {
    name: _channels_last_operator(name) for name in ("BatchNormalization", "Conv", "MaxPool")
}


def operator_of(node: Node) -> Operator | None:
    """Find what imports a node; None if nothing does."""
    return (CHANNELS_LAST if node.domain == DOMAIN else OPERATORS).get(node.op)


def operator_rows() -> list[str]:
    """Lines of the table of operators, for the documentation."""
    rows = ["| operator | becomes | supported |", "|---|---|---|"]
    for name, each in sorted(OPERATORS.items()):
        rows.append(f"| {name} | {each.becomes} | {each.limits} |")
    return rows
