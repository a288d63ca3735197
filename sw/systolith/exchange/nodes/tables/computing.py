"""Operators that compute: layers with weights, pools, additions and constants."""

from collections.abc import Mapping

from systolith.exchange.nodes import arithmetic, lowered, pools, transposed, weighted
from systolith.exchange.nodes.adapters import adapt_channels_last, adapt_functions, adapt_one_axis
from systolith.exchange.nodes.declarations import (
    ANY,
    AVERAGING,
    CONVOLUTION,
    MAX_POOLING,
    TRANSPOSED,
    Attribute,
    OnnxOperator,
    accept_ones,
    accept_zero,
)
from systolith.exchange.nodes.integers import keep_integers

__all__ = ["COMPUTING"]

MAX_POOL = adapt_one_axis(pools.read_max_pool)
REDUCTION = {
    "axes": ANY,
    "keepdims": Attribute(default=1),
    "noop_with_empty_axes": Attribute(default=0),
}
GLOBAL_MAX_POOL = adapt_one_axis(pools.read_global_max_pool)
CONV = "along one axis or two; any groups; any dilation; zero padding, also auto_pad"
CONSTANTS = "constants, one or one for each channel"
PART = "part of the layer before it"
TWO = "A B"


COMPUTING: Mapping[str, OnnxOperator] = {
    "Conv": OnnxOperator(adapt_one_axis(weighted.read_conv), "Conv2d", CONV, "X W B?", CONVOLUTION),
    "ConvTranspose": OnnxOperator(
        adapt_one_axis(transposed.read_conv_transpose),
        "Conv2d, DepthToSpace, Pad2d",
        "along one axis or two; any strides and groups; pads and output_padding",
        "X W B?",
        {
            **CONVOLUTION,
            "dilations": accept_ones("is dilated by {value}; dilations of 1 are supported"),
            "output_padding": ANY,
        },
    ),
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
        lowered.read_matmul,
        "Linear; Conv2d",
        "an activation and constant weights; images with channels last",
        TWO,
    ),
    "Im2Col": OnnxOperator(
        lowered.read_im2col,
        "Conv2d, with the MatMul after it",
        "QONNX's and FINN's lowered convolutions, depthwise ones too",
        attributes={
            "depthwise": ANY,
            "dilations": Attribute(default=[1, 1]),
            "input_shape": ANY,
            "kernel_size": ANY,
            "pad_amount": Attribute(default=[0, 0, 0, 0]),
            "pad_value": Attribute(default=0),
            "stride": ANY,
        },
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
    "MaxPoolNHWC": OnnxOperator(
        adapt_channels_last(pools.read_max_pool),
        "MaxPool2d",
        "QONNX's and FINN's MaxPool, channels last",
        attributes=MAX_POOLING,
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
    "ReduceMax": OnnxOperator(
        pools.read_reduce_max,
        "MaxPool2d",
        "over height, width or both",
        "data axes?",
        REDUCTION,
        keep_integers(pools.read_reduce_max),
    ),
    "ReduceMean": OnnxOperator(
        pools.read_reduce_mean,
        "AvgPool2d",
        "over height, width or both",
        "data axes?",
        REDUCTION,
    ),
    "Add": OnnxOperator(
        adapt_functions(arithmetic.read_add),
        "Add, or part of the layer before it",
        "two activations, axes of 1 repeated, or constants",
        TWO,
    ),
    "Sum": OnnxOperator(adapt_functions(arithmetic.read_add), "as Add", "of two", TWO),
    "Sub": OnnxOperator(adapt_functions(arithmetic.read_subtract), PART, CONSTANTS, TWO),
    "Mul": OnnxOperator(
        adapt_functions(arithmetic.read_multiply),
        "Multiply, or part of the layer before it",
        f"two activations, axes of 1 repeated; {CONSTANTS}; functions of one tensor",
        TWO,
    ),
    "Div": OnnxOperator(adapt_functions(arithmetic.read_divide), PART, CONSTANTS, TWO),
}
