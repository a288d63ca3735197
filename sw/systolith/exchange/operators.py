"""The operators that can be imported, each with what of it is supported."""

from collections.abc import Mapping

from onnx import TensorProto

from systolith.exchange import (
    arithmetic_nodes,
    clamp_nodes,
    integer_nodes,
    pool_nodes,
    qlinear_nodes,
    quantizer_nodes,
    shape_nodes,
    threshold_nodes,
    weighted_nodes,
)
from systolith.exchange.declarations import Attribute, Operator
from systolith.exchange.integer_nodes import keeping_integers
from systolith.exchange.one_axis import along_one_axis

__all__ = ["OPERATORS", "operator_rows"]

ANY = Attribute()
MAX_POOL = along_one_axis(pool_nodes.max_pool)
Q_LINEAR_CONV = along_one_axis(qlinear_nodes.q_linear_conv)
Q_LINEAR_AVERAGE_POOL = along_one_axis(qlinear_nodes.q_linear_average_pool)
Q_LINEAR_GLOBAL_AVERAGE_POOL = along_one_axis(qlinear_nodes.q_linear_global_average_pool)
GLOBAL_MAX_POOL = along_one_axis(pool_nodes.global_max_pool)
CONV = "along one axis or two; any groups, no dilation; zero padding, also auto_pad"
POOL = "no dilation, no ceil_mode"
CONSTANTS = "constants, one or one for each channel"
PART = "part of the layer before it"
MOVES = "whole images, before the first quantizer or between layers"


def _ones(words: str) -> Attribute:
    return Attribute(accepts=lambda value: set(value) <= {1}, words=words)


def _zero(words: str) -> Attribute:
    return Attribute(default=0, accepts=lambda value: not value, words=words)


def _one(name: str) -> Attribute:
    words = f"has {name} {{value}}; 1 is supported: fold it into the weights"
    return Attribute(default=1.0, accepts=lambda value: float(value) == 1.0, words=words)


def _float(name: str) -> Attribute:
    words = f"has {name} {{value}}, a type with fewer digits; FLOAT is supported: leave it out"
    return Attribute(default=0, accepts=lambda value: value in (0, TensorProto.FLOAT), words=words)


WINDOW = {
    "kernel_shape": ANY,
    "strides": ANY,
    "pads": ANY,
    "auto_pad": Attribute(
        default="NOTSET",
        accepts=lambda value: value in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
        words="has auto_pad {value}; NOTSET, SAME_UPPER, SAME_LOWER and VALID are supported",
    ),
}
CONVOLUTION = {
    **WINDOW,
    "group": Attribute(default=1),
    "dilations": _ones("is dilated by {value}; not supported: write zeros between the weights"),
}
POOLING = {
    **WINDOW,
    "ceil_mode": Attribute(default=0),
    "dilations": _ones("is dilated by {value}; dilations of 1 are supported"),
}
MAX_POOLING = {**POOLING, "storage_order": Attribute(default=0)}
AVERAGING = {**POOLING, "count_include_pad": Attribute(default=0)}
TRANSPOSED = _zero("transposes its activations (transA {value}); 0 is supported")
CHANNELS_LAST = {
    "channels_last": _zero("keeps channels last; channels first is supported (channels_last 0)")
}
BLOCKS = _zero("has scales for blocks of {value}; one scale, or one for each channel, is supported")
QUANT = {
    "signed": Attribute(default=1),
    "narrow": Attribute(default=0),
    "rounding_mode": Attribute(default="ROUND"),
}
QUANT_INPUTS = "x scale zero_point bit_width"
TWO = "A B"

OPERATORS: Mapping[str, Operator] = {
    "Conv": Operator(
        along_one_axis(weighted_nodes.convolve), "Conv2d", CONV, "X W B?", CONVOLUTION
    ),
    "Gemm": Operator(
        weighted_nodes.gemm,
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
    "MatMul": Operator(weighted_nodes.matmul, "Linear", "an activation and constant weights", TWO),
    "BatchNormalization": Operator(
        arithmetic_nodes.batch_norm,
        PART,
        "right after Conv, Gemm, MatMul or a quantizer; not in training",
        "X scale B mean var",
        {
            "epsilon": Attribute(default=1e-5),
            "momentum": ANY,
            "training_mode": _zero(
                "has training_mode {value}, so it reads the batch; export the model for inference "
                "(model.eval())"
            ),
        },
    ),
    "Relu": Operator(clamp_nodes.relu, PART, "", integers=clamp_nodes.relu),
    "Clip": Operator(
        clamp_nodes.clip,
        PART,
        "constant bounds",
        "input min? max?",
        {"min": ANY, "max": ANY},
        clamp_nodes.clip,
    ),
    "Min": Operator(clamp_nodes.minimum, PART, "of a constant", TWO, integers=clamp_nodes.minimum),
    "Max": Operator(clamp_nodes.maximum, PART, "of a constant", TWO, integers=clamp_nodes.maximum),
    "Floor": Operator(clamp_nodes.floor, PART, "before a quantizer of the same steps"),
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
        along_one_axis(pool_nodes.average_pool),
        "AvgPool2d",
        "count_include_pad=1 where there is padding",
        "X",
        AVERAGING,
    ),
    "GlobalAveragePool": Operator(along_one_axis(pool_nodes.global_average_pool), "AvgPool2d", ""),
    "ReduceMean": Operator(
        pool_nodes.reduce_mean,
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
        arithmetic_nodes.add,
        "Add, or part of the layer before it",
        "two activations, or constants",
        TWO,
    ),
    "Sum": Operator(arithmetic_nodes.add, "as Add", "of two", TWO),
    "Sub": Operator(arithmetic_nodes.subtract, PART, CONSTANTS, TWO),
    "Mul": Operator(arithmetic_nodes.multiply, PART, CONSTANTS, TWO),
    "Div": Operator(arithmetic_nodes.divide, PART, CONSTANTS, TWO),
    "Pad": Operator(
        shape_nodes.pad,
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
        integer_nodes.pad_integers,
    ),
    "Flatten": Operator(
        shape_nodes.flatten,
        "Flatten",
        "axis 1",
        "input",
        {"axis": Attribute(default=1)},
        keeping_integers(shape_nodes.flatten),
    ),
    "Reshape": Operator(
        shape_nodes.reshape,
        "Flatten, or nothing",
        MOVES,
        "data shape",
        {"allowzero": Attribute(default=0)},
        keeping_integers(shape_nodes.reshape),
    ),
    "Squeeze": Operator(
        shape_nodes.squeeze,
        "Flatten, or nothing",
        MOVES,
        "data axes?",
        {"axes": ANY},
        keeping_integers(shape_nodes.squeeze),
    ),
    "Unsqueeze": Operator(
        shape_nodes.unsqueeze,
        "nothing",
        MOVES,
        "data axes?",
        {"axes": ANY},
        keeping_integers(shape_nodes.unsqueeze),
    ),
    "Transpose": Operator(
        shape_nodes.transpose,
        "nothing",
        "of images before the first quantizer, of pairs, before Flatten; of constants",
        "data",
        {"perm": ANY},
        keeping_integers(shape_nodes.transpose),
    ),
    "Identity": Operator(shape_nodes.identity, "nothing", "", integers=shape_nodes.identity),
    "Dropout": Operator(
        shape_nodes.dropout,
        "nothing",
        "not in training",
        "data ratio? training_mode?",
        {"ratio": ANY, "seed": ANY},
        shape_nodes.dropout,
    ),
    "Cast": Operator(
        integer_nodes.cast,
        "nothing",
        "to a type that holds the same numbers",
        "input",
        {"to": ANY, "saturate": ANY, "round_mode": ANY},
        integer_nodes.cast,
    ),
    "CastLike": Operator(
        integer_nodes.cast_like,
        "nothing",
        "to the type of what is no constant: reals",
        "input target_type",
        {"saturate": ANY, "round_mode": ANY},
        integer_nodes.cast_like,
    ),
    "Quant": Operator(
        quantizer_nodes.quant,
        "requantization of the layer before it",
        "QONNX; ROUND and FLOOR, of results >= 0 also HALF_UP and DOWN",
        QUANT_INPUTS,
        QUANT,
    ),
    "IntQuant": Operator(quantizer_nodes.quant, "as Quant", "QONNX", QUANT_INPUTS, QUANT),
    "BipolarQuant": Operator(
        quantizer_nodes.bipolar_quant,
        "weights of one bit; requantization of the layer before it",
        "QONNX; activations not padded with zeros",
        "x scale",
    ),
    "MultiThreshold": Operator(
        threshold_nodes.multi_threshold,
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
        quantizer_nodes.quantize_linear,
        "requantization of the layer before it",
        "to 4, 8 or 16 bits; one scale and zero point for activations",
        "x y_scale y_zero_point?",
        {
            "axis": Attribute(default=1),
            "output_dtype": Attribute(default=0),
            "block_size": BLOCKS,
            "precision": _float("precision"),
            "saturate": ANY,
        },
    ),
    "DequantizeLinear": Operator(
        quantizer_nodes.dequantize_linear,
        "nothing",
        "of what is quantized; of constants, one scale or one per channel",
        "x x_scale x_zero_point?",
        {
            "axis": Attribute(default=1),
            "block_size": BLOCKS,
            "output_dtype": _float("output_dtype"),
        },
        quantizer_nodes.dequantize_linear,
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
        qlinear_nodes.q_linear_matmul,
        "Linear",
        "constant weights",
        "a a_scale a_zero_point b b_scale b_zero_point y_scale y_zero_point",
        integers=qlinear_nodes.q_linear_matmul,
    ),
    "QGemm": Operator(
        qlinear_nodes.q_gemm,
        "Linear",
        "ONNX Runtime's; a quantized result",
        "A a_scale a_zero_point B b_scale b_zero_point C? y_scale? y_zero_point?",
        {
            "alpha": _one("alpha"),
            "transA": TRANSPOSED,
            "transB": Attribute(default=0),
        },
        qlinear_nodes.q_gemm,
    ),
    "QLinearAdd": Operator(
        qlinear_nodes.q_linear_add,
        "Add",
        "ONNX Runtime's",
        "A A_scale A_zero_point? B B_scale B_zero_point? C_scale C_zero_point?",
        integers=qlinear_nodes.q_linear_add,
    ),
    "QLinearAveragePool": Operator(
        Q_LINEAR_AVERAGE_POOL,
        "AvgPool2d",
        "ONNX Runtime's; channels first",
        "X x_scale x_zero_point? y_scale y_zero_point?",
        {**AVERAGING, **CHANNELS_LAST},
        Q_LINEAR_AVERAGE_POOL,
    ),
    "QLinearGlobalAveragePool": Operator(
        Q_LINEAR_GLOBAL_AVERAGE_POOL,
        "AvgPool2d",
        "ONNX Runtime's; channels first",
        "X x_scale x_zero_point y_scale y_zero_point",
        CHANNELS_LAST,
        Q_LINEAR_GLOBAL_AVERAGE_POOL,
    ),
}


def operator_rows() -> list[str]:
    """Lines of the table of operators, for the documentation."""
    rows = ["| operator | becomes | supported |", "|---|---|---|"]
    for name, each in sorted(OPERATORS.items()):
        rows.append(f"| {name} | {each.becomes} | {each.limits} |")
    return rows
