"""Rules for channels: one for each operator that channels can be followed through."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from torch import Tensor, fx, nn

from systolith.prune.filters.analysis.channels import Channels, Labels
from systolith.trace import Call

__all__ = ["CallInContext", "ChannelEffect", "follow_call", "tie_groups"]

IMAGE_AXES = 4
"""N, C, H, W."""


class ChannelEffect(Enum):
    """How channels go through an operation."""

    KEEP = auto()
    """Each on its own, and zero stays zero."""
    REPEAT = auto()
    """As KEEP, and each becomes several neighbours: flattening."""
    NORMALIZE = auto()
    """Each on its own; zero becomes something else, which the module's parameters can undo."""
    DEPTHWISE = auto()
    """Each on its own, with its own filters."""
    PRODUCE = auto()
    """Each filter reads all of them, or those of its group, and makes a new one."""
    MIX = auto()
    """Anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInContext:
    """A call of a recording, and the channels of all values before it.

    Parameters
    ----------
    call : Call
    shapes : mapping of fx.Node to tuple of int
        Of all tensors before.
    labels : mapping of fx.Node to Labels
        Channels of all values before.
    channels : Channels
        Changed: what the call ties is united.
    """

    call: Call
    shapes: Mapping[fx.Node, tuple[int, ...]]
    labels: Mapping[fx.Node, Labels]
    channels: Channels

    def argument(self, name: str, default: Any = None) -> Any:
        """Argument by the name of its parameter."""
        return self.call.arguments.get(name, default)

    @property
    def subject(self) -> fx.Node | None:
        """The first argument, if it has channels, and no other tensor has any."""
        first = self.argument("input")
        if not isinstance(first, fx.Node) or len(self.shapes.get(first, ())) < 2:
            return None
        others = (node for node in self.call.node.all_input_nodes if node != first)
        constants = (value for value in self.call.arguments.values() if isinstance(value, Tensor))
        if any(len(self.labels[node]) for node in others) or any(c.ndim > 1 for c in constants):
            return None
        return first

    @property
    def image(self) -> fx.Node | None:
        """The subject, if its shape is (N, C, H, W)."""
        first = self.subject
        return first if first is not None and len(self.shapes[first]) == IMAGE_AXES else None

    def operand(self, name: str) -> tuple[tuple[int, ...], Labels] | None:
        """Shape and channels of an argument; those of a constant tensor have to stay."""
        value = self.argument(name)
        if isinstance(value, fx.Node) and value in self.shapes:
            return self.shapes[value], self.labels[value]
        if isinstance(value, Tensor) and value.ndim > 1:
            labels = self.channels.fresh(value.shape[1])
            self.channels.fix(labels, "it is tied to a constant")
            return tuple(value.shape), labels
        return None


Outcome = tuple[ChannelEffect, Labels]


def follow_call(call: CallInContext) -> Outcome | None:
    """Say how channels go through a call, and which the result has; None if not known."""
    rule = None if call.call.problems else _RULES.get(call.call.operator)
    return None if rule is None else rule(call)


def tie_groups(channels: Channels, labels: Labels, groups: int) -> None:
    """Tie channels that are at the same place of each of `groups` parts of equal size."""
    parts = np.split(labels, groups)
    for part in parts[1:]:
        channels.unite(parts[0], part)


def _keep(call: CallInContext) -> Outcome | None:
    first = call.subject
    if first is None or call.call.output[:2] != call.shapes[first][:2]:
        return None
    return ChannelEffect.KEEP, call.labels[first]


def _keep_on_images(call: CallInContext) -> Outcome | None:
    return _keep(call) if call.image is not None and call.call.are_images else None


def _clip(call: CallInContext) -> Outcome | None:
    """Limits that zero lies between."""
    low, high = call.argument("min", -np.inf), call.argument("max", np.inf)
    if call.call.operator == "hardtanh":
        low, high = call.argument("min_val", -1.0), call.argument("max_val", 1.0)
    low, high = (-np.inf if low is None else low), (np.inf if high is None else high)
    within = _is_number(low) and _is_number(high) and low <= 0 <= high
    return _keep(call) if within else None


def _reduce(call: CallInContext) -> Outcome | None:
    """Mean, sum and maximum over rows and columns."""
    axes = call.argument("dim")
    listed = axes if isinstance(axes, Sequence) else (axes,)
    within = all(isinstance(axis, int) and axis % IMAGE_AXES in (2, 3) for axis in listed)
    return _keep(call) if call.image is not None and within else None


def _flatten(call: CallInContext) -> Outcome | None:
    first = call.subject
    start, end = call.argument("start_dim", 0), call.argument("end_dim", -1)
    if first is None or start != 1 or end not in (-1, len(call.shapes[first]) - 1):
        return None
    return _repeat(call, first)


def _reshape(call: CallInContext) -> Outcome | None:
    """Flattening written as ``x.view(n, -1)``; a number in place of -1 would not shrink."""
    first, sizes = call.subject, call.argument("shape")
    if first is None or not isinstance(sizes, Sequence) or len(sizes) != 2 or sizes[1] != -1:
        return None
    return _repeat(call, first) if call.call.output[0] == call.shapes[first][0] else None


def _repeat(call: CallInContext, source: fx.Node) -> Outcome:
    pixels = prod(call.shapes[source][2:])
    return ChannelEffect.REPEAT, np.repeat(call.labels[source], pixels)


def _concatenate(call: CallInContext) -> Outcome | None:
    parts, axis = call.argument("tensors"), call.argument("dim", 0)
    axes = len(call.call.output)
    if not isinstance(parts, Sequence) or not isinstance(axis, int) or axes < 2:
        return None
    if {*parts} != {*call.call.node.all_input_nodes}:
        return None
    if any(len(call.shapes.get(part, ())) != axes for part in parts):
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
    if not len(one[0]) == len(other[0]) == axes > 1 or one[0][1] != other[0][1]:
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


def _index(call: CallInContext) -> Outcome | None:
    """Rows and columns may be left out, channels and images not."""
    first, index = call.subject, call.argument("index")
    if first is None or len(call.shapes[first]) != (axes := len(call.call.output)):
        return None
    index = index if isinstance(index, tuple) else (index,)
    if index[0] is Ellipsis:
        index = (slice(None),) * (axes - len(index) + 1) + index[1:]
    whole = all(part == slice(None) for part in index[:2])
    cuts = all(isinstance(part, slice) for part in index[2:])
    return (ChannelEffect.KEEP, call.labels[first]) if whole and cuts else None


def _pad(call: CallInContext) -> Outcome | None:
    """Channels that padding adds are zero; they stay, for the model says how many they are."""
    first, sides = call.image, call.argument("pad")
    mode, value = call.argument("mode", "constant"), call.argument("value")
    if first is None or not isinstance(sides, Sequence) or not all(map(_is_number, sides)):
        return None
    if mode == "constant" and value not in (None, 0):
        return None
    before, after = (*sides[4:], 0, 0)[:2]
    if len(sides) > 6 or before < 0 or after < 0:
        return None
    added = call.channels.fresh(before + after)
    call.channels.fix(added, f"it is tied to the zero channels that '{call.call.node.name}' adds")
    parts = added[:before], call.labels[first], added[before:]
    return ChannelEffect.KEEP, np.concatenate(parts)


def _normalize(call: CallInContext) -> Outcome | None:
    module, first = call.call.module, call.subject
    if first is None:
        return None
    axes = IMAGE_AXES if isinstance(module, nn.BatchNorm2d) else 2
    if not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) or not module.affine:
        return None
    if len(call.shapes[first]) != axes:
        return None
    return ChannelEffect.NORMALIZE, call.labels[first]


def _convolve(call: CallInContext) -> Outcome | None:
    module, first = call.call.module, call.image
    if first is None or not isinstance(module, nn.Conv2d):
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
        _keep_on_images,
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
    "getitem": _index,
    "pad": _pad,
    "batch_norm": _normalize,
    "conv2d": _convolve,
    "linear": _linear,
}
"""By operator. Nothing is followed without a rule here; the rules for activations keep zero."""
