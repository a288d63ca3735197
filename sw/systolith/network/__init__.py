"""The contract between training and hardware: integer networks, patterns and golden arithmetic."""

from systolith.network._encoding import decode_pattern, encode_pattern
from systolith.network.axes import (
    AllTaps,
    BoolArray,
    Dense,
    Granularity,
    KOutOfN,
    PerNeuron,
    Select,
    Strided,
    Taps,
    WeightShape,
)
from systolith.network.errors import NetworkError
from systolith.network.golden import apply_layer, forward, trace
from systolith.network.graph import INPUT, IntegerNetwork, identifier
from systolith.network.grouped import UngroupedWeights, ungroup_pattern, ungroup_weights
from systolith.network.layers import (
    ADDED_MULTIPLIER_BITS,
    MAX_WEIGHT_BITS,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Padding,
    Requantized,
)
from systolith.network.numbers import (
    MAX_ACT_BITS,
    MAX_MULTIPLIER_BITS,
    MAX_OFFSET_BITS,
    MAX_SHIFT,
    USUAL_MULTIPLIER_BITS,
    ActType,
    IntArray,
    Overflow,
    Requantize,
    Rounding,
    signed_bits,
)
from systolith.network.pattern import Pattern
from systolith.network.requantizing import requantize
from systolith.network.storage import content_hash, load, save
from systolith.network.tensor import Shape, Tensor

__all__ = [
    "ADDED_MULTIPLIER_BITS",
    "INPUT",
    "MAX_ACT_BITS",
    "MAX_MULTIPLIER_BITS",
    "MAX_OFFSET_BITS",
    "MAX_SHIFT",
    "MAX_WEIGHT_BITS",
    "USUAL_MULTIPLIER_BITS",
    "ActType",
    "Add",
    "AllTaps",
    "AvgPool2d",
    "BoolArray",
    "Conv2d",
    "Dense",
    "Flatten",
    "Granularity",
    "IntArray",
    "IntegerNetwork",
    "KOutOfN",
    "Layer",
    "Linear",
    "MaxPool2d",
    "NetworkError",
    "Overflow",
    "Padding",
    "Pattern",
    "PerNeuron",
    "Requantize",
    "Requantized",
    "Rounding",
    "Select",
    "Shape",
    "Strided",
    "Taps",
    "Tensor",
    "UngroupedWeights",
    "WeightShape",
    "apply_layer",
    "content_hash",
    "decode_pattern",
    "encode_pattern",
    "forward",
    "identifier",
    "load",
    "requantize",
    "save",
    "signed_bits",
    "trace",
    "ungroup_pattern",
    "ungroup_weights",
]
