"""The table of operators that can be imported, with their handlers and supported variants."""

from collections.abc import Mapping

from systolith.exchange.file.loading import CHANNELS_LAST_DOMAIN
from systolith.exchange.file.model_file import Node
from systolith.exchange.nodes import (
    arithmetic,
    geometry,
    integers,
    moves,
    pools,
    qlinear,
    quantizers,
    shapes,
    weighted,
)
from systolith.exchange.nodes.adapters import (
    adapt_channels_last,
    adapt_functions,
    adapt_one_axis,
)
from systolith.exchange.nodes.declarations import (
    ANY,
    AVERAGING,
    BLOCKS,
    CHANNELS_LAST_FLAG,
    CONVOLUTION,
    MAX_POOLING,
    QUANT_ATTRIBUTES,
    RESIZING,
    TRANSPOSED,
    Attribute,
    OnnxOperator,
    accept_float,
    accept_one,
    accept_zero,
)
from systolith.exchange.nodes.functions import FUNCTIONS
from systolith.exchange.nodes.integers import keep_integers

__all__ = ["OPERATORS", "operator_of", "operator_rows"]

MAX_POOL = adapt_one_axis(pools.read_max_pool)
Q_LINEAR_CONV = adapt_one_axis(qlinear.read_q_linear_conv)
Q_LINEAR_AVERAGE_POOL = adapt_one_axis(qlinear.read_q_linear_average_pool)
Q_LINEAR_GLOBAL_AVERAGE_POOL = adapt_one_axis(qlinear.read_q_linear_global_average_pool)
GLOBAL_MAX_POOL = adapt_one_axis(pools.read_global_max_pool)
CONV = "along one axis or two; any groups; any dilation; zero padding, also auto_pad"
CONSTANTS = "constants, one or one for each channel"
PART = "part of the layer before it"
QUANT_INPUTS = "x scale zero_point bit_width"
TWO = "A B"
WHOLE_CHANNELS = "whole channels"
WHOLE_IMAGES = "whole images, before the first quantizer or between layers"


OPERATORS: Mapping[str, OnnxOperator] = {
    "Conv": OnnxOperator(adapt_one_axis(weighted.read_conv), "Conv2d", CONV, "X W B?", CONVOLUTION),
    "Gemm": OnnxOperator(
        weighted.read_gemm,
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
    "MatMul": OnnxOperator(
        weighted.read_matmul, "Linear", "an activation and constant weights", TWO
    ),
    "BatchNormalization": OnnxOperator(
        arithmetic.read_batch_norm,
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
    "Relu": OnnxOperator(
        adapt_functions(arithmetic.read_relu), PART, "", integers=arithmetic.read_relu
    ),
    "Clip": OnnxOperator(
        adapt_functions(arithmetic.read_clip),
        PART,
        "constant bounds",
        "input min? max?",
        {"min": ANY, "max": ANY},
        arithmetic.read_clip,
    ),
    "Min": OnnxOperator(
        adapt_functions(arithmetic.read_minimum),
        PART,
        "of a constant",
        TWO,
        integers=arithmetic.read_minimum,
    ),
    "Max": OnnxOperator(
        adapt_functions(arithmetic.read_maximum),
        PART,
        "of a constant",
        TWO,
        integers=arithmetic.read_maximum,
    ),
    "Floor": OnnxOperator(
        adapt_functions(arithmetic.read_floor), PART, "before a quantizer of the same steps"
    ),
    "MaxPool": OnnxOperator(
        MAX_POOL,
        "MaxPool2d",
        "any dilation, ceil_mode",
        "X",
        MAX_POOLING,
        keep_integers(MAX_POOL),
    ),
    "GlobalMaxPool": OnnxOperator(
        GLOBAL_MAX_POOL,
        "MaxPool2d",
        "",
        integers=keep_integers(GLOBAL_MAX_POOL),
    ),
    "AveragePool": OnnxOperator(
        adapt_one_axis(pools.read_average_pool),
        "AvgPool2d",
        "padding in the average or not, ceil_mode",
        "X",
        AVERAGING,
    ),
    "GlobalAveragePool": OnnxOperator(
        adapt_one_axis(pools.read_global_average_pool), "AvgPool2d", ""
    ),
    "ReduceMean": OnnxOperator(
        pools.read_reduce_mean,
        "AvgPool2d",
        "over height and width",
        "data axes?",
        {
            "axes": ANY,
            "keepdims": Attribute(default=1),
            "noop_with_empty_axes": Attribute(default=0),
        },
    ),
    "Add": OnnxOperator(
        adapt_functions(arithmetic.read_add),
        "Add, or part of the layer before it",
        "two activations, or constants",
        TWO,
    ),
    "Sum": OnnxOperator(adapt_functions(arithmetic.read_add), "as Add", "of two", TWO),
    "Sub": OnnxOperator(adapt_functions(arithmetic.read_subtract), PART, CONSTANTS, TWO),
    "Mul": OnnxOperator(
        adapt_functions(arithmetic.read_multiply),
        PART,
        f"{CONSTANTS}; functions of one tensor",
        TWO,
    ),
    "Div": OnnxOperator(adapt_functions(arithmetic.read_divide), PART, CONSTANTS, TWO),
    "Pad": OnnxOperator(
        shapes.read_pad,
        "padding of the layer after it, or Pad2d",
        "height and width, cut off where negative; anything before the first quantizer",
        "data pads? constant_value? axes?",
        {
            "mode": Attribute(
                default="constant",
                accepts=lambda value: value == "constant",
                words="pads by '{value}'; constant is supported",
            ),
            "pads": ANY,
            "value": ANY,
        },
        integers.read_pad_integers,
    ),
    "Resize": OnnxOperator(
        geometry.read_resize,
        "Upsample",
        "nearest, by whole numbers",
        "X roi? scales? sizes?",
        RESIZING,
        keep_integers(geometry.read_resize),
    ),
    "Flatten": OnnxOperator(
        shapes.read_flatten,
        "Flatten",
        "axis 1",
        "input",
        {"axis": Attribute(default=1)},
        keep_integers(shapes.read_flatten),
    ),
    "Reshape": OnnxOperator(
        shapes.read_reshape,
        "Flatten, or nothing",
        WHOLE_IMAGES,
        "data shape",
        {"allowzero": Attribute(default=0)},
        keep_integers(shapes.read_reshape),
    ),
    "Squeeze": OnnxOperator(
        shapes.read_squeeze,
        "Flatten, or nothing",
        WHOLE_IMAGES,
        "data axes?",
        {"axes": ANY},
        keep_integers(shapes.read_squeeze),
    ),
    "Unsqueeze": OnnxOperator(
        shapes.read_unsqueeze,
        "nothing",
        WHOLE_IMAGES,
        "data axes?",
        {"axes": ANY},
        keep_integers(shapes.read_unsqueeze),
    ),
    "Transpose": OnnxOperator(
        shapes.read_transpose,
        "nothing",
        "of images before the first quantizer, of pairs, shuffles of channels, before Flatten; of "
        "constants",
        "data",
        {"perm": ANY},
        keep_integers(shapes.read_transpose),
    ),
    "Concat": OnnxOperator(
        moves.read_concat,
        "Concat",
        "channels of activations of one scale, or a quantizer behind it",
        "inputs*",
        {"axis": Attribute(default=1)},
        moves.read_concat,
    ),
    "Split": OnnxOperator(
        moves.read_split,
        "SelectChannels",
        WHOLE_CHANNELS,
        "input split?",
        {"axis": Attribute(default=0), "split": ANY, "num_outputs": ANY},
        keep_integers(moves.read_split),
    ),
    "Slice": OnnxOperator(
        moves.read_slice,
        "Pad2d or SelectChannels",
        f"rows and columns; {WHOLE_CHANNELS}; every second pixel of both axes",
        "data starts? ends? axes? steps?",
        {"starts": ANY, "ends": ANY, "axes": ANY},
        keep_integers(moves.read_slice),
    ),
    "Gather": OnnxOperator(
        moves.read_gather,
        "SelectChannels or Table",
        f"{WHOLE_CHANNELS} by constant indices; constants by a function of an activation",
        "data indices",
        {"axis": Attribute(default=0)},
        keep_integers(moves.read_gather),
    ),
    "DepthToSpace": OnnxOperator(
        moves.read_depth_to_space,
        "DepthToSpace, after SelectChannels in mode CRD",
        "both modes",
        "input",
        {"blocksize": ANY, "mode": Attribute(default="DCR")},
        keep_integers(moves.read_depth_to_space),
    ),
    "SpaceToDepth": OnnxOperator(
        moves.read_space_to_depth,
        "SpaceToDepth",
        "",
        "input",
        {"blocksize": ANY},
        keep_integers(moves.read_space_to_depth),
    ),
    "Identity": OnnxOperator(shapes.read_identity, "nothing", "", integers=shapes.read_identity),
    "Dropout": OnnxOperator(
        shapes.read_dropout,
        "nothing",
        "not in training",
        "data ratio? training_mode?",
        {"ratio": ANY, "seed": ANY},
        shapes.read_dropout,
    ),
    "Cast": OnnxOperator(
        adapt_functions(integers.read_cast),
        "nothing",
        "to a type that holds the same numbers",
        "input",
        {"to": ANY, "saturate": ANY, "round_mode": ANY},
        integers.read_cast,
    ),
    "CastLike": OnnxOperator(
        integers.read_cast_like,
        "nothing",
        "to the type of what is no constant: reals",
        "input target_type",
        {"saturate": ANY, "round_mode": ANY},
        integers.read_cast_like,
    ),
    "Quant": OnnxOperator(
        quantizers.read_quant,
        "requantization of the layer before it",
        "QONNX; ROUND and FLOOR, of results >= 0 also HALF_UP and DOWN",
        QUANT_INPUTS,
        QUANT_ATTRIBUTES,
    ),
    "IntQuant": OnnxOperator(
        quantizers.read_quant, "as Quant", "QONNX", QUANT_INPUTS, QUANT_ATTRIBUTES
    ),
    "BipolarQuant": OnnxOperator(
        quantizers.read_bipolar_quant,
        "weights of one bit; requantization of the layer before it",
        "QONNX; activations not padded with zeros",
        "x scale",
    ),
    "MultiThreshold": OnnxOperator(
        quantizers.read_multi_threshold,
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
    "QuantizeLinear": OnnxOperator(
        quantizers.read_quantize_linear,
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
    "DequantizeLinear": OnnxOperator(
        quantizers.read_dequantize_linear,
        "nothing",
        "of what is quantized; of constants, one scale or one per channel",
        "x x_scale x_zero_point?",
        {
            "axis": Attribute(default=1),
            "block_size": BLOCKS,
            "output_dtype": accept_float("output_dtype"),
        },
        quantizers.read_dequantize_linear,
    ),
    "QLinearConv": OnnxOperator(
        Q_LINEAR_CONV,
        "Conv2d",
        CONV,
        "x x_scale x_zero_point w w_scale w_zero_point y_scale y_zero_point B?",
        CONVOLUTION,
        Q_LINEAR_CONV,
    ),
    "QLinearMatMul": OnnxOperator(
        qlinear.read_q_linear_matmul,
        "Linear",
        "constant weights",
        "a a_scale a_zero_point b b_scale b_zero_point y_scale y_zero_point",
        integers=qlinear.read_q_linear_matmul,
    ),
    "QGemm": OnnxOperator(
        qlinear.read_q_gemm,
        "Linear",
        "ONNX Runtime's; a quantized result",
        "A a_scale a_zero_point B b_scale b_zero_point C? y_scale? y_zero_point?",
        {
            "alpha": accept_one("alpha"),
            "transA": TRANSPOSED,
            "transB": Attribute(default=0),
        },
        qlinear.read_q_gemm,
    ),
    "QLinearAdd": OnnxOperator(
        qlinear.read_q_linear_add,
        "Add",
        "ONNX Runtime's",
        "A A_scale A_zero_point? B B_scale B_zero_point? C_scale C_zero_point?",
        integers=qlinear.read_q_linear_add,
    ),
    "QLinearAveragePool": OnnxOperator(
        Q_LINEAR_AVERAGE_POOL,
        "AvgPool2d",
        "ONNX Runtime's; channels first",
        "X x_scale x_zero_point? y_scale y_zero_point?",
        {**AVERAGING, **CHANNELS_LAST_FLAG},
        Q_LINEAR_AVERAGE_POOL,
    ),
    "QLinearGlobalAveragePool": OnnxOperator(
        Q_LINEAR_GLOBAL_AVERAGE_POOL,
        "AvgPool2d",
        "ONNX Runtime's; channels first",
        "X x_scale x_zero_point y_scale y_zero_point",
        CHANNELS_LAST_FLAG,
        Q_LINEAR_GLOBAL_AVERAGE_POOL,
    ),
    **FUNCTIONS,
}


def _channels_last_operator(name: str) -> OnnxOperator:
    standard = OPERATORS[name]
    return OnnxOperator(
        adapt_channels_last(standard.run),
        standard.becomes,
        f"QONNX's, channels last: {standard.limits}",
        standard.inputs,
        standard.attributes,
    )


CHANNELS_LAST: Mapping[str, OnnxOperator] = {
    name: _channels_last_operator(name) for name in ("BatchNormalization", "Conv", "MaxPool")
}


def operator_of(node: Node) -> OnnxOperator | None:
    """Find the operator of a node; None if it is not supported."""
    return (CHANNELS_LAST if node.domain == CHANNELS_LAST_DOMAIN else OPERATORS).get(node.op)


def operator_rows() -> list[str]:
    """Give the lines of the table of operators, for the documentation."""
    rows = ["| operator | becomes | supported |", "|---|---|---|"]
    for name, operator in sorted(OPERATORS.items()):
        rows.append(f"| {name} | {operator.becomes} | {operator.limits} |")
    return rows
