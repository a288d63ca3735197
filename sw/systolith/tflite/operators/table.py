"""The table of operators, and rewrites of those that are refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from systolith.tflite.activation import Activation
from systolith.tflite.operators.blocks import read_batch_to_space, read_space_to_batch
from systolith.tflite.operators.classes import read_class
from systolith.tflite.operators.functions import UNARY, read_dequantizer, read_function
from systolith.tflite.operators.moves import read_depth_to_space, read_nearest, read_space_to_depth
from systolith.tflite.operators.operands import Call
from systolith.tflite.operators.pairs import (
    read_addition,
    read_difference,
    read_extreme,
    read_product,
)
from systolith.tflite.operators.pools import (
    read_average,
    read_greatest,
    read_maximum,
    read_mean,
)
from systolith.tflite.operators.shapes import (
    read_concatenation,
    read_padding,
    read_reshape,
    read_stack,
    read_transpose,
)
from systolith.tflite.operators.slices import (
    read_broadcast,
    read_gather,
    read_slice,
    read_split,
    read_split_sizes,
    read_strided_slice,
    read_tile,
    read_unstack,
)
from systolith.tflite.operators.transposed import read_transposed
from systolith.tflite.operators.weighted import (
    read_convolution,
    read_depthwise,
    read_fully_connected,
)

__all__ = ["HOST_ENDS", "KERNELS", "REWRITES", "SHAPING", "VALUEWISE", "Kernel", "kernel_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """How an operator is read.

    Attributes
    ----------
    read : callable
        From a call to the activation that it computes, or to several.
    becomes : str
        Layer of the network.
    arithmetic : str
        What the reference kernel computes.
    limits : str
        What is supported.
    reals : bool
        Whether it may compute real numbers between a dequantizer and a quantizer.
    classes : bool
        Whether it computes classes, which are no activations.
    """

    read: Callable[[Call], Activation | tuple[Activation, ...]]
    becomes: str
    arithmetic: str = "no arithmetic"
    limits: str = ""
    reals: bool = False
    classes: bool = False


_TWICE = "31-bit multipliers, rounded twice"
_PAIRS = "two tensors of one shape, or one value for each channel or pixel"
_FUNCTIONS = (
    "a number, or functions of one tensor, make a table; a number for each channel makes an "
    "AvgPool2d of one pixel, a depthwise Conv2d or a Linear"
)
_TABLE = "its own integers or floats; all 256 results are taken from the kernel itself"

KERNELS: Mapping[str, Kernel] = MappingProxyType(
    {
        "CONV_2D": Kernel(
            read=read_convolution,
            becomes="Conv2d",
            arithmetic=f"{_TWICE}, one for each filter",
            limits="int8, SAME or VALID, any stride, dilation and groups; RELU, RELU6, "
            "RELU_N1_TO_1 fused",
        ),
        "DEPTHWISE_CONV_2D": Kernel(
            read=read_depthwise,
            becomes="Conv2d with groups",
            arithmetic=f"{_TWICE}, one for each filter",
            limits="as CONV_2D, any depth multiplier",
        ),
        "TRANSPOSE_CONV": Kernel(
            read=read_transposed,
            becomes="Conv2d, DepthToSpace, Pad2d",
            arithmetic=f"{_TWICE}, one for each filter",
            limits="int8, SAME or VALID, any strides; fused as CONV_2D",
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
            limits=f"{_PAIRS}; {_FUNCTIONS}",
            reals=True,
        ),
        "SUB": Kernel(
            read=read_difference,
            becomes="Table, Add",
            arithmetic="as ADD, the second input with its sign changed",
            limits=f"{_PAIRS}; {_FUNCTIONS}",
            reals=True,
        ),
        "MUL": Kernel(
            read=read_product,
            becomes="Multiply",
            arithmetic=_TWICE,
            limits=f"{_PAIRS}; {_FUNCTIONS}",
            reals=True,
        ),
        **{
            kind: Kernel(
                read=read_extreme,
                becomes="Table, two Adds",
                arithmetic="none; here differences and sums of integers",
                limits=f"{_PAIRS}, one scale; {_FUNCTIONS}",
                reals=True,
            )
            for kind in ("MAXIMUM", "MINIMUM")
        },
        "AVERAGE_POOL_2D": Kernel(
            read=read_average,
            becomes="AvgPool2d",
            arithmetic="quotients of sums, ties away from zero",
            limits="SAME or VALID; padding is not in the area",
        ),
        "MAX_POOL_2D": Kernel(
            read=read_maximum, becomes="MaxPool2d", limits="SAME or VALID, nothing fused"
        ),
        "MEAN": Kernel(
            read=read_mean,
            becomes="AvgPool2d",
            arithmetic=f"{_TWICE}, divided by the number of pixels",
            limits="over height, width or both",
        ),
        "REDUCE_MAX": Kernel(
            read=read_greatest, becomes="MaxPool2d", limits="over height, width or both"
        ),
        "QUANTIZE": Kernel(
            read=read_function,
            becomes="Table",
            arithmetic=_TABLE,
            limits="another scale, or the end of a function; at the input, and behind the output "
            "for other types than int8, it is left to the host",
        ),
        "DEQUANTIZE": Kernel(
            read=read_dequantizer,
            becomes="part of a Table",
            limits="functions of each value up to the next QUANTIZE; at the end it is left to the "
            "host",
            reals=True,
        ),
        **{
            kind: Kernel(
                read=read_function, becomes="Table", arithmetic=_TABLE, limits=limits, reals=True
            )
            for kind, limits in UNARY.items()
        },
        **{
            kind: Kernel(
                read=read_function,
                becomes="Table",
                arithmetic=_TABLE,
                limits=_FUNCTIONS,
                reals=True,
            )
            for kind in ("DIV", "POW", "PRELU")
        },
        "PAD": Kernel(
            read=read_padding,
            becomes="padding of the next convolution, else Pad2d",
            limits="rows and columns",
        ),
        "PADV2": Kernel(read=read_padding, becomes="Pad2d", limits="rows and columns, one number"),
        "CONCATENATION": Kernel(
            read=read_concatenation,
            becomes="Concat",
            limits="any axis; one scale",
        ),
        "PACK": Kernel(read=read_stack, becomes="Concat", limits="any axis; one scale"),
        "UNPACK": Kernel(read=read_unstack, becomes="SelectChannels or Pad2d", limits="any axis"),
        "GATHER": Kernel(
            read=read_gather, becomes="SelectChannels or Pad2d", limits="any axis, constant places"
        ),
        "SPLIT": Kernel(read=read_split, becomes="SelectChannels or Pad2d", limits="any axis"),
        "SPLIT_V": Kernel(
            read=read_split_sizes, becomes="SelectChannels or Pad2d", limits="any axis"
        ),
        "SLICE": Kernel(read=read_slice, becomes="SelectChannels, Pad2d", limits="any axes"),
        "STRIDED_SLICE": Kernel(
            read=read_strided_slice,
            becomes="SelectChannels, Pad2d, MaxPool2d of one pixel",
            limits="any axes and strides",
        ),
        "RESIZE_NEAREST_NEIGHBOR": Kernel(
            read=read_nearest, becomes="Upsample", limits="by whole numbers"
        ),
        "ARG_MAX": Kernel(
            read=read_class,
            becomes="ArgMax",
            limits="at the end, over channels, with class_on_chip; else left to the host",
            classes=True,
        ),
        "TILE": Kernel(
            read=read_tile,
            becomes="Upsample or SelectChannels",
            limits="channels, one pixel, or with RESHAPE each pixel",
        ),
        "BROADCAST_TO": Kernel(
            read=read_broadcast, becomes="Upsample or SelectChannels", limits="as TILE"
        ),
        "SPACE_TO_BATCH_ND": Kernel(
            read=read_space_to_batch,
            becomes="dilation and padding of the next convolution",
            limits="one image, up to the next BATCH_TO_SPACE_ND; between them convolutions of "
            "stride 1 and functions of each value",
        ),
        "BATCH_TO_SPACE_ND": Kernel(
            read=read_batch_to_space,
            becomes="nothing, or Pad2d",
            limits="behind SPACE_TO_BATCH_ND, with the same blocks",
        ),
        "DEPTH_TO_SPACE": Kernel(read=read_depth_to_space, becomes="DepthToSpace"),
        "SPACE_TO_DEPTH": Kernel(read=read_space_to_depth, becomes="SpaceToDepth"),
        **{
            kind: Kernel(
                read=read_reshape,
                becomes="Flatten, or nothing",
                limits="between any shapes that layers can read",
            )
            for kind in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
        },
        "TRANSPOSE": Kernel(
            read=read_transpose,
            becomes="SelectChannels, or nothing",
            limits="at the input, before a vector, of sequences, and shuffles of channels",
        ),
    }
)
"""Operators that are read, by their names in the schema."""

SHAPING = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE")
"""Operators that change the shape or the order only."""

VALUEWISE = (*UNARY, "QUANTIZE", "DEQUANTIZE", "ADD", "SUB", "MUL", "PRELU", "MAXIMUM", "MINIMUM")
"""Operators that compute each value on its own, and keep the shape."""

HOST_ENDS = ("SOFTMAX", "LOGISTIC", "LOG_SOFTMAX", "ARG_MAX", "DEQUANTIZE")
"""Operators that are left to the host if they compute outputs and nothing else reads them."""

REWRITES: Mapping[str, str] = MappingProxyType(
    {
        **{
            kind: "TFLite's reference kernels have none; use GELU, LEAKY_RELU or RELU"
            for kind in ("CEIL", "ELU", "ROUND")
        },
        "MIRROR_PAD": "pad with zeros",
        "RESIZE_BILINEAR": "use RESIZE_NEAREST_NEIGHBOR by whole numbers",
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
