"""The table of operators, and rewrites of those that are refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from systolith.tflite.activation import Activation
from systolith.tflite.operands import Call
from systolith.tflite.shapes import read_concatenation, read_padding, read_reshape
from systolith.tflite.unweighted import (
    read_addition,
    read_average,
    read_maximum,
    read_mean,
    read_requantization,
)
from systolith.tflite.weighted import read_convolution, read_depthwise, read_fully_connected

__all__ = ["HOST_ENDS", "KERNELS", "REWRITES", "Kernel", "kernel_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """How an operator is read.

    Attributes
    ----------
    read : callable
        From a call to the activation that it computes.
    becomes : str
        Layer of the network.
    arithmetic : str
        What the reference kernel computes.
    limits : str
        What is supported.
    """

    read: Callable[[Call], Activation]
    becomes: str
    arithmetic: str = "no arithmetic"
    limits: str = ""


_TWICE = "31-bit multipliers, rounded twice"

KERNELS: Mapping[str, Kernel] = MappingProxyType(
    {
        "CONV_2D": Kernel(
            read=read_convolution,
            becomes="Conv2d",
            arithmetic=f"{_TWICE}, one for each filter",
            limits="int8, SAME or VALID, any stride and dilation; RELU, RELU6, RELU_N1_TO_1 fused",
        ),
        "DEPTHWISE_CONV_2D": Kernel(
            read=read_depthwise,
            becomes="Conv2d with groups",
            arithmetic=f"{_TWICE}, one for each filter",
            limits="as CONV_2D, any depth multiplier",
        ),
        "FULLY_CONNECTED": Kernel(
            read=read_fully_connected,
            becomes="Linear",
            arithmetic="sums times a double, ties away from zero; here a 31-bit multiplier that "
            "gives the same for every sum, which the import proves",
            limits="int8, one scale or one for each filter; RELU, RELU6, RELU_N1_TO_1 fused",
        ),
        "ADD": Kernel(
            read=read_addition,
            becomes="Add",
            arithmetic=f"both inputs shifted left by 20; {_TWICE}, for each input and the sum",
            limits="two tensors of one shape",
        ),
        "AVERAGE_POOL_2D": Kernel(
            read=read_average,
            becomes="AvgPool2d",
            arithmetic="quotients of sums, ties away from zero",
            limits="windows within the image",
        ),
        "MAX_POOL_2D": Kernel(
            read=read_maximum, becomes="MaxPool2d", limits="SAME or VALID, nothing fused"
        ),
        "MEAN": Kernel(
            read=read_mean,
            becomes="AvgPool2d",
            arithmetic=f"{_TWICE}, divided by the number of pixels",
            limits="over height and width",
        ),
        "QUANTIZE": Kernel(
            read=read_requantization,
            becomes="AvgPool2d of one pixel",
            arithmetic=_TWICE,
            limits="int8 to int8 images; at the input it is left to the host",
        ),
        "PAD": Kernel(
            read=read_padding,
            becomes="padding of the next convolution",
            limits="rows and columns, right before a VALID convolution",
        ),
        "CONCATENATION": Kernel(
            read=read_concatenation,
            becomes="Concat",
            limits="channels of images, or features of vectors; one scale",
        ),
        "RESHAPE": Kernel(read=read_reshape, becomes="Flatten", limits="images to vectors"),
        "SQUEEZE": Kernel(read=read_reshape, becomes="Flatten", limits="images to vectors"),
    }
)
"""Operators that are read, by their names in the schema."""

HOST_ENDS = ("SOFTMAX", "LOGISTIC", "LOG_SOFTMAX", "DEQUANTIZE")
"""Operators that are left to the host if they compute outputs and nothing else reads them."""

REWRITES: Mapping[str, str] = MappingProxyType(
    {
        "RELU": "fuse it into the convolution before, as the converter does without quantizers "
        "between",
        "RELU6": "fuse it into the convolution before",
        "LEAKY_RELU": "use RELU",
        "PRELU": "use RELU",
        "HARD_SWISH": "use RELU6",
        "TANH": "use RELU6",
        "MUL": "multiply constants into the weights of the layer before",
        "SUB": "fold the constant into a bias, or add",
        "TRANSPOSE": "keep the order (N, H, W, C)",
        "TRANSPOSE_CONV": "use a convolution",
        "RESIZE_NEAREST_NEIGHBOR": "use strides in the other direction",
        "SVDF": "use a depthwise convolution over time",
        "UNIDIRECTIONAL_SEQUENCE_LSTM": "recurrent layers are not supported",
    }
)
"""What to use in place of common operators that are refused."""


def kernel_rows() -> list[tuple[str, str, str, str]]:
    """Give the rows of the table of operators: operator, layer, arithmetic, limits."""
    return [
        (name, kernel.becomes, kernel.arithmetic, kernel.limits) for name, kernel in KERNELS.items()
    ]
