"""The layers of an integer network: frozen data that checks itself, with its golden arithmetic.

A layer names its inputs; shapes and types of those come from the network. Images are ``(C, H, W)``,
vectors ``(features,)``; the batch axis is never part of a shape here.

A layer is one file, and a part of ``Layer``. Besides its fields it has

- ``inputs``: the names of the layers that it reads;
- ``problems(shapes)``: what does not fit inputs of these shapes;
- ``output_shape(shapes)`` and ``output_type(types)``;
- ``compute(values, inputs)``: its exact result, in NumPy.
"""

from systolith.network.layers._weights import MAX_WEIGHT_BITS
from systolith.network.layers._window import Padding, add_padding, reach_of
from systolith.network.layers.add import ADDED_MULTIPLIER_BITS, Add
from systolith.network.layers.arg_max import ArgMax
from systolith.network.layers.avg_pool2d import AvgPool2d
from systolith.network.layers.conv2d import Conv2d
from systolith.network.layers.linear import Linear
from systolith.network.layers.max_pool2d import MaxPool2d
from systolith.network.layers.moving.concat import Concat
from systolith.network.layers.moving.depth_to_space import DepthToSpace
from systolith.network.layers.moving.flatten import Flatten
from systolith.network.layers.moving.pad2d import Pad2d
from systolith.network.layers.moving.select_channels import SelectChannels
from systolith.network.layers.moving.space_to_depth import SpaceToDepth
from systolith.network.layers.moving.upsample import Upsample
from systolith.network.layers.multiply import Multiply
from systolith.network.layers.table import MAX_TABLE_BITS, Table

__all__ = [
    "ADDED_MULTIPLIER_BITS",
    "MAX_TABLE_BITS",
    "MAX_WEIGHT_BITS",
    "Add",
    "ArgMax",
    "AvgPool2d",
    "Concat",
    "Conv2d",
    "DepthToSpace",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Moving",
    "Multiply",
    "Pad2d",
    "Padding",
    "Requantized",
    "SelectChannels",
    "SpaceToDepth",
    "Table",
    "Upsample",
    "add_padding",
    "reach_of",
]

Requantized = Conv2d | Linear | Add | Multiply | AvgPool2d
"""Layers with ``accumulate(values, inputs)`` and ``accumulator_range(inputs)``."""
Moving = Concat | SelectChannels | DepthToSpace | SpaceToDepth
"""Layers that only move values, channels or pixels, to other places."""
Layer = Requantized | MaxPool2d | Pad2d | Upsample | Table | ArgMax | Moving | Flatten
