"""Rules for channels: one for each operator that channels can be followed through."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import numpy as np
from torch import fx, nn

from systolith.prune.filters.analysis.context import (
    IMAGE_AXES,
    SEQUENCE_AXES,
    CallInContext,
    ChannelEffect,
    Outcome,
    tie_groups,
)
from systolith.prune.filters.analysis.moving import (
    exchange_channels,
    group_channels,
    index_channels,
    move_to_channels,
    move_to_pixels,
    narrow_channels,
    shuffle_channels,
    split_channels,
)
from systolith.prune.filters_first import Convolution
from systolith.trace import Call
from systolith.trace.modules import kind_of

__all__ = ["follow_call"]


def follow_call(call: CallInContext) -> Outcome | None:
    """Say how channels go through a call, and which the result has; None if not known."""
    rule = None if call.call.problems else _RULES.get(call.call.operator)
    return None if rule is None else rule(call)


def _keep(call: CallInContext) -> Outcome | None:
    first = call.subject
    if first is None or call.call.output[:2] != call.shapes[first][:2]:
        return None
    return ChannelEffect.KEEP, call.labels[first]


def _pool(call: CallInContext) -> Outcome | None:
    first = call.image_or_sequence
    if first is None or len(call.call.output) != len(call.shapes[first]):
        return None
    # A pool of images takes three axes for (C, H, W), and so mixes channels of sequences.
    images = len(call.shapes[first]) == IMAGE_AXES
    return _keep(call) if images or _is_for_sequences(call.call) else None


def _is_for_sequences(call: Call) -> bool:
    kind = call.target if call.module is None else kind_of(call.module)
    return call.operator == "interpolate" or getattr(kind, "__name__", "").endswith("1d")


def _clip(call: CallInContext) -> Outcome | None:
    """Limits that zero lies between."""
    low, high = call.argument("min", -np.inf), call.argument("max", np.inf)
    if call.call.operator == "hardtanh":
        low, high = call.argument("min_val", -1.0), call.argument("max_val", 1.0)
    low, high = (-np.inf if low is None else low), (np.inf if high is None else high)
    within = _is_number(low) and _is_number(high) and low <= 0 <= high
    return _keep(call) if within else None


def _reduce(call: CallInContext) -> Outcome | None:
    """Mean, sum and maximum over rows and columns, or over the length of sequences."""
    first, axes = call.image_or_sequence, call.argument("dim")
    if first is None:
        return None
    listed = axes if isinstance(axes, Sequence) else (axes,)
    count = len(call.shapes[first])
    within = all(isinstance(axis, int) and axis % count > 1 for axis in listed)
    return _keep(call) if within else None


def _flatten(call: CallInContext) -> Outcome | None:
    first = call.subject
    start, end = call.argument("start_dim", 0), call.argument("end_dim", -1)
    if (grouped := group_channels(call)) is not None:
        return grouped
    if first is None or start != 1 or end not in (-1, len(call.shapes[first]) - 1):
        return None
    return _repeat(call, first)


def _reshape(call: CallInContext) -> Outcome | None:
    """Flattening written as ``x.view(n, -1)``; a number in place of -1 would not shrink."""
    first, sizes = call.subject, call.argument("shape")
    if (grouped := group_channels(call)) is not None:
        return grouped
    if first is None or not isinstance(sizes, Sequence) or len(sizes) != 2 or sizes[1] != -1:
        return None
    return _repeat(call, first) if call.call.output[0] == call.shapes[first][0] else None


def _repeat(call: CallInContext, source: fx.Node) -> Outcome:
    labels = call.labels[source]
    pixels = prod(call.shapes[source][1 + labels.ndim :])
    return ChannelEffect.REPEAT, np.repeat(labels.ravel(), pixels)


def _concatenate(call: CallInContext) -> Outcome | None:
    parts, axis = call.argument("tensors"), call.argument("dim", 0)
    axes = len(call.call.output)
    if not isinstance(parts, Sequence) or not isinstance(axis, int) or axes < 2:
        return None
    if {*parts} != {*call.call.node.all_input_nodes}:
        return None
    if any(len(call.shapes.get(part, ())) != axes for part in parts):
        return None
    if any(call.labels[part].ndim > 1 for part in parts):
        return None
    if axis % axes == 1:
        return ChannelEffect.KEEP, np.concatenate([call.labels[part] for part in parts])
    for one, other in pairwise(parts):
        call.channels.unite(call.labels[one], call.labels[other])
    return ChannelEffect.KEEP, call.labels[parts[0]]


def _add(call: CallInContext) -> Outcome | None:
    """Two tensors, channel by channel: a sum, a difference, a product."""
    one, other = call.operand("input"), call.operand("other")
    if one is None or other is None:
        return None
    axes = len(call.call.output)
    if not len(one[0]) == len(other[0]) == axes > 1 or one[1].shape != other[1].shape:
        return None
    call.channels.unite(one[1], other[1])
    return ChannelEffect.KEEP, one[1]


def _multiply(call: CallInContext) -> Outcome | None:
    one, other = call.argument("input"), call.argument("other")
    if _is_number(other):
        return _keep(call)
    if _is_number(one) and len(call.shapes.get(other, ())) > 1:
        return ChannelEffect.KEEP, call.labels[other]
    return _add(call)


def _divide(call: CallInContext) -> Outcome | None:
    return _keep(call) if _is_number(call.argument("other")) else None


def _pad(call: CallInContext) -> Outcome | None:
    """Channels that padding adds are zero; they stay, for the model says how many they are."""
    first, sides = call.image_or_sequence, call.argument("pad")
    mode, value = call.argument("mode", "constant"), call.argument("value")
    if first is None or not isinstance(sides, Sequence) or not all(map(_is_number, sides)):
        return None
    if mode == "constant" and value not in (None, 0):
        return None
    within = 2 * (len(call.shapes[first]) - 2)
    before, after = (*sides[within:], 0, 0)[:2]
    if len(sides) > within + 2 or before < 0 or after < 0:
        return None
    added = call.channels.fresh(before + after)
    call.channels.fix(added, f"it is tied to the zero channels that '{call.call.node.name}' adds")
    parts = added[:before], call.labels[first], added[before:]
    return ChannelEffect.KEEP, np.concatenate(parts)


def _normalize(call: CallInContext) -> Outcome | None:
    module, first = call.call.module, call.subject
    if first is None:
        return None
    if not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) or not module.affine:
        return None
    axes = (IMAGE_AXES,) if isinstance(module, nn.BatchNorm2d) else (2, SEQUENCE_AXES)
    if len(call.shapes[first]) not in axes or call.labels[first].ndim > 1:
        return None
    return ChannelEffect.NORMALIZE, call.labels[first]


def _convolve(call: CallInContext) -> Outcome | None:
    module, first = call.call.module, call.image_or_sequence
    if first is None or not isinstance(module, Convolution):
        return None
    if len(call.shapes[first]) != module.weight.ndim:
        return None
    if module.groups != module.in_channels or module.groups == 1:
        # Groups stay equal in size: what is at the same place of each group leaves together.
        tie_groups(call.channels, call.labels[first], module.groups)
        return ChannelEffect.PRODUCE, call.labels[first]
    multiplier = module.out_channels // module.in_channels
    return ChannelEffect.DEPTHWISE, np.repeat(call.labels[first], multiplier)


def _linear(call: CallInContext) -> Outcome | None:
    module, first = call.call.module, call.subject
    if first is None or not isinstance(module, nn.Linear) or len(call.shapes[first]) != 2:
        return None
    return ChannelEffect.PRODUCE, call.labels[first]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


_RULES: dict[str, Callable[[CallInContext], Outcome | None]] = {
    **dict.fromkeys(
        ("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish")
        + ("hardswish", "softsign", "tanh", "neg", "identity", "dropout"),
        _keep,
    ),
    **dict.fromkeys(
        ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "interpolate"),
        _pool,
    ),
    **dict.fromkeys(("mean", "sum", "amax"), _reduce),
    **dict.fromkeys(("clamp", "hardtanh"), _clip),
    "flatten": _flatten,
    "reshape": _reshape,
    "cat": _concatenate,
    "add": _add,
    "sub": _add,
    "mul": _multiply,
    "div": _divide,
    "getitem": index_channels,
    "narrow": narrow_channels,
    **dict.fromkeys(("chunk", "split", "tensor_split"), split_channels),
    "channel_shuffle": shuffle_channels,
    "pixel_shuffle": move_to_pixels,
    "pixel_unshuffle": move_to_channels,
    **dict.fromkeys(("transpose", "permute"), exchange_channels),
    "unflatten": group_channels,
    "pad": _pad,
    "batch_norm": _normalize,
    **dict.fromkeys(("conv2d", "conv_transpose2d"), _convolve),
    "linear": _linear,
}
"""By operator. Nothing is followed without a rule here; the rules for activations keep zero."""
