"""Quantizers, and operators on integers."""

from collections.abc import Mapping

from systolith.exchange.nodes import qlinear, quantizers
from systolith.exchange.nodes.adapters import adapt_one_axis
from systolith.exchange.nodes.declarations import (
    ANY,
    AVERAGING,
    BLOCKS,
    CHANNELS_LAST_FLAG,
    CONVOLUTION,
    QUANT_ATTRIBUTES,
    TRANSPOSED,
    Attribute,
    OnnxOperator,
    accept_float,
    accept_one,
)

__all__ = ["QUANTIZING"]

Q_LINEAR_CONV = adapt_one_axis(qlinear.read_q_linear_conv)
Q_LINEAR_AVERAGE_POOL = adapt_one_axis(qlinear.read_q_linear_average_pool)
Q_LINEAR_GLOBAL_AVERAGE_POOL = adapt_one_axis(qlinear.read_q_linear_global_average_pool)
Q_SIGMOID = qlinear.read_q_function("Sigmoid")
Q_LEAKY_RELU = qlinear.read_q_function("LeakyRelu")
Q_FUNCTION_INPUTS = "X X_scale X_zero_point? Y_scale Y_zero_point?"
QUANT_INPUTS = "x scale zero_point bit_width"


QUANTIZING: Mapping[str, OnnxOperator] = {
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
        "QONNX; zeros around activations take a second bit",
        "x scale",
    ),
    "MultiThreshold": OnnxOperator(
        quantizers.read_multi_threshold,
        "as Quant",
        "FINN's and QONNX's; up to 255 thresholds, of any distances",
        "x thresholds",
        {
            "out_dtype": ANY,
            "out_scale": Attribute(default=1.0),
            "out_bias": Attribute(default=0.0),
            "data_layout": Attribute(default=""),
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
        "as Conv",
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
    "QLinearConcat": OnnxOperator(
        qlinear.read_q_linear_concat,
        "Concat",
        "ONNX Runtime's; channels of any scales",
        "Y_scale Y_zero_point inputs*",
        {"axis": Attribute(default=1)},
        qlinear.read_q_linear_concat,
    ),
    "QLinearSigmoid": OnnxOperator(
        Q_SIGMOID, "Table", "ONNX Runtime's", Q_FUNCTION_INPUTS, integers=Q_SIGMOID
    ),
    "QLinearLeakyRelu": OnnxOperator(
        Q_LEAKY_RELU,
        "Table",
        "ONNX Runtime's",
        Q_FUNCTION_INPUTS,
        {"alpha": Attribute(default=0.01)},
        Q_LEAKY_RELU,
    ),
    "QLinearMul": OnnxOperator(
        qlinear.read_q_linear_multiply,
        "Multiply",
        "ONNX Runtime's",
        "A A_scale A_zero_point? B B_scale B_zero_point? C_scale C_zero_point?",
        integers=qlinear.read_q_linear_multiply,
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
}
