"""Operators that pad, resize, reshape, join, select and rearrange, or keep all values."""

from collections.abc import Mapping

from systolith.exchange.nodes import integers, interpolating, moves, shapes
from systolith.exchange.nodes.adapters import adapt_functions
from systolith.exchange.nodes.declarations import (
    ANY,
    RESIZING,
    Attribute,
    OnnxOperator,
)
from systolith.exchange.nodes.integers import keep_integers

__all__ = ["MOVING"]

WHOLE_CHANNELS = "whole channels"
WHOLE_IMAGES = "whole images, before the first quantizer or between layers"


MOVING: Mapping[str, OnnxOperator] = {
    "Pad": OnnxOperator(
        shapes.read_pad,
        "padding of the layer after it, or Pad2d",
        "height and width, by a number or the border (edge), cut off where negative; anything "
        "before the first quantizer",
        "data pads? constant_value? axes?",
        {
            "mode": Attribute(
                default="constant",
                accepts=lambda value: value in ("constant", "edge"),
                words="pads by '{value}'; constant and edge are supported",
            ),
            "pads": ANY,
            "value": ANY,
        },
        integers.read_pad_integers,
    ),
    "Resize": OnnxOperator(
        interpolating.read_resize,
        "Upsample; and AvgPool2d if linear",
        "by whole numbers: nearest, or linear with half_pixel",
        "X roi? scales? sizes?",
        RESIZING,
        interpolating.read_resize_integers,
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
}
