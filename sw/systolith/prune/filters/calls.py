"""What calls of functions and methods do to channels."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.nn import functional as F

from systolith.prune.filters.channels import Channels, Labels
from systolith.prune.filters.operations import IMAGE_AXES, Flow

__all__ = ["Call"]

Followed = tuple[Flow, Labels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of a function or method in a traced model.

    Parameters
    ----------
    node : fx.Node
    value : object
        The result.
    shapes : mapping of fx.Node to tuple of int
        Of all tensors before.
    labels : mapping of fx.Node to Labels
        Of all values before: of a tensor its channels, of anything else those whose count it may
        contain.
    channels : Channels
        Changed: what the call ties is united.
    """

    node: fx.Node
    value: Any
    shapes: Mapping[fx.Node, tuple[int, ...]]
    labels: Mapping[fx.Node, Labels]
    channels: Channels

    def follow(self) -> Followed | None:
        """Say how channels go through the call, and which the result has; None if not known."""
        if not isinstance(self.value, Tensor):
            return _number(self)
        rule = _RULES.get(self.target)
        return None if rule is None else rule(self)

    @property
    def target(self) -> Any:
        """The function, or ``"Tensor."`` and a method's name."""
        is_method = self.node.op == "call_method"
        return f"Tensor.{self.node.target}" if is_method else self.node.target

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument, given by position or by name."""
        if position < len(self.node.args):
            return self.node.args[position]
        return self.node.kwargs.get(name, default)

    @property
    def subject(self) -> fx.Node | None:
        """The first argument, if it is a tensor with channels, and no other depends on a count."""
        first = self.argument(0, "input")
        if not isinstance(first, fx.Node) or len(self.shapes.get(first, ())) < 2:
            return None
        others = (node for node in self.node.all_input_nodes if node != first)
        return None if any(len(self.labels[other]) for other in others) else first

    @property
    def image(self) -> fx.Node | None:
        """The subject, if its shape is (N, C, H, W)."""
        first = self.subject
        return first if first is not None and len(self.shapes[first]) == IMAGE_AXES else None


def _number(call: Call) -> Followed | None:
    """Follow the count of channels through shapes and arithmetic."""
    nothing = np.empty(0, dtype=np.int64)
    read = np.concatenate([nothing, *(call.labels[node] for node in call.node.all_input_nodes)])
    source = call.argument(0, "input")
    if call.target is getattr:
        return Flow.PASS, read if call.node.args[1] == "shape" else nothing
    if call.target == "Tensor.dim":
        return Flow.PASS, nothing
    if call.target == "Tensor.size":
        axis = call.argument(1, "dim", slice(None))
    elif call.target is operator.getitem and _is_shape(source):
        axis, source = call.node.args[1], source.args[0]
    else:
        known = isinstance(call.value, int | float | torch.Size)
        tensors = any(node in call.shapes for node in call.node.all_input_nodes)
        return (Flow.PASS, read) if known and not tensors else None
    if source not in call.shapes or not isinstance(axis, int | slice) or _has_nodes(axis):
        return Flow.PASS, read
    axes = range(len(call.shapes[source]))[axis]
    counts = 1 in axes if isinstance(axes, range) else axes == 1
    return Flow.PASS, read if counts else nothing


def _passing(call: Call) -> Followed | None:
    first = call.subject
    if first is None or call.value.shape[:2] != call.shapes[first][:2]:
        return None
    return Flow.PASS, call.labels[first]


def _on_image(call: Call) -> Followed | None:
    return _passing(call) if call.image is not None and call.value.ndim == IMAGE_AXES else None


def _reducing(call: Call) -> Followed | None:
    """Mean, sum and maximum over rows and columns."""
    axes = call.argument(1, "dim")
    listed = axes if isinstance(axes, Sequence) else (axes,)
    within = all(isinstance(axis, int) and axis % IMAGE_AXES in (2, 3) for axis in listed)
    return _passing(call) if call.image is not None and within else None


def _flattening(call: Call) -> Followed | None:
    first = call.subject
    start, end = call.argument(1, "start_dim", 0), call.argument(2, "end_dim", -1)
    if first is None or start != 1 or end not in (-1, len(call.shapes[first]) - 1):
        return None
    return Flow.REPEAT, np.repeat(call.labels[first], prod(call.shapes[first][2:]))


def _viewing(call: Call) -> Followed | None:
    """Flattening written as ``x.view(n, -1)``; a number in place of -1 would not shrink."""
    first, sizes = call.subject, call.node.args[1:]
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        sizes = tuple(sizes[0])
    if first is None or len(sizes) != 2 or sizes[1] != -1:
        return None
    if call.value.shape[0] != call.shapes[first][0]:
        return None
    return Flow.REPEAT, np.repeat(call.labels[first], prod(call.shapes[first][2:]))


def _joining(call: Call) -> Followed | None:
    parts, axis = call.argument(0, "tensors"), call.argument(1, "dim", 0)
    axes = call.value.ndim
    if not isinstance(parts, Sequence) or not isinstance(axis, int) or axes < 2:
        return None
    if {*parts} != {*call.node.all_input_nodes}:
        return None
    if any(len(call.shapes.get(part, ())) != axes for part in parts):
        return None
    if axis % axes == 1:
        return Flow.PASS, np.concatenate([call.labels[part] for part in parts])
    for one, other in pairwise(parts):
        call.channels.unite(call.labels[one], call.labels[other])
    return Flow.PASS, call.labels[parts[0]]


def _adding(call: Call) -> Followed | None:
    """Two tensors, channel by channel: a sum, a difference, a product."""
    pair = call.argument(0, "input"), call.argument(1, "other")
    if {*call.node.all_input_nodes} != {*pair} or _is_read_after_change(call.node):
        return None
    one, other = (call.shapes.get(node, ()) for node in pair)
    if not len(one) == len(other) == call.value.ndim > 1 or one[1] != other[1]:
        return None
    call.channels.unite(call.labels[pair[0]], call.labels[pair[1]])
    return Flow.PASS, call.labels[pair[0]]


def _multiplying(call: Call) -> Followed | None:
    one, other = call.argument(0, "input"), call.argument(1, "other")
    if _is_number(other):
        return _passing(call)
    if _is_number(one) and len(call.shapes.get(other, ())) > 1:
        return Flow.PASS, call.labels[other]
    return _adding(call)


def _dividing(call: Call) -> Followed | None:
    return _passing(call) if _is_number(call.argument(1, "other")) else None


def _slicing(call: Call) -> Followed | None:
    """Rows and columns may be left out, channels and images not."""
    first, index = call.subject, call.node.args[1]
    if first is None or len(call.shapes[first]) != call.value.ndim:
        return None
    index = index if isinstance(index, tuple) else (index,)
    if index[0] is Ellipsis:
        index = (slice(None),) * (call.value.ndim - len(index) + 1) + index[1:]
    whole = all(part == slice(None) for part in index[:2])
    cuts = all(isinstance(part, slice) for part in index[2:])
    return (Flow.PASS, call.labels[first]) if whole and cuts else None


def _padding(call: Call) -> Followed | None:
    """Channels that padding adds are zero; they stay, for the model says how many they are."""
    first, pad = call.image, call.argument(1, "pad")
    mode, value = call.argument(2, "mode", "constant"), call.argument(3, "value")
    if first is None or not isinstance(pad, Sequence) or not all(map(_is_number, pad)):
        return None
    if mode == "constant" and value not in (None, 0):
        return None
    before, after = (*pad[4:], 0, 0)[:2]
    if len(pad) > 6 or before < 0 or after < 0:
        return None
    added = call.channels.fresh(before + after)
    call.channels.fix(added, f"it is tied to the zero channels that '{call.node.name}' adds")
    parts = added[:before], call.labels[first], added[before:]
    return Flow.PASS, np.concatenate(parts)


def _is_shape(value: object) -> bool:
    """Whether a value is the whole shape of a tensor."""
    if not isinstance(value, fx.Node):
        return False
    by_attribute = value.target is getattr and value.args[1] == "shape"
    return by_attribute or (value.target == "size" and len(value.args) == 1)


def _has_nodes(axis: int | slice) -> bool:
    parts = (axis.start, axis.stop, axis.step) if isinstance(axis, slice) else (axis,)
    return any(isinstance(part, fx.Node) for part in parts)


def _is_read_after_change(node: fx.Node) -> bool:
    """Whether a call changes in place what is read again after it."""
    name = str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", "")
    if not (name.endswith("_") or name in ("iadd", "isub", "imul")):
        return False
    order = {other: number for number, other in enumerate(node.graph.nodes)}
    (changed, *_) = node.all_input_nodes
    return any(order[user] > order[node] for user in changed.users)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


_Rule = Callable[[Call], Followed | None]


def _table(*rows: tuple[_Rule, Iterable[Any]]) -> dict[Any, _Rule]:
    return {target: rule for rule, targets in rows for target in targets}


_RULES = _table(
    (
        _passing,
        (
            *(F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.mish, F.hardswish),
            *(torch.relu, torch.relu_, torch.tanh, F.tanh, F.dropout, F.dropout2d, operator.neg),
            *("Tensor.relu", "Tensor.relu_", "Tensor.tanh", "Tensor.tanh_", "Tensor.neg"),
            *("Tensor.contiguous", "Tensor.clone", "Tensor.detach", "Tensor.float"),
        ),
    ),
    (
        _on_image,
        (
            *(F.max_pool2d, torch.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d),
            *(F.adaptive_max_pool2d, F.interpolate),
        ),
    ),
    (_reducing, (torch.mean, torch.sum, torch.amax, "Tensor.mean", "Tensor.sum", "Tensor.amax")),
    (_flattening, (torch.flatten, "Tensor.flatten")),
    (_viewing, (torch.reshape, "Tensor.view", "Tensor.reshape")),
    (_joining, (torch.cat, torch.concat, torch.concatenate)),
    (
        _adding,
        (
            *(operator.add, operator.iadd, operator.sub, operator.isub, torch.add, torch.sub),
            *("Tensor.add", "Tensor.add_", "Tensor.sub", "Tensor.sub_"),
        ),
    ),
    (_multiplying, (operator.mul, operator.imul, torch.mul, "Tensor.mul", "Tensor.mul_")),
    (_dividing, (operator.truediv, operator.itruediv, torch.div, "Tensor.div", "Tensor.div_")),
    (_slicing, (operator.getitem,)),
    (_padding, (F.pad,)),
)
