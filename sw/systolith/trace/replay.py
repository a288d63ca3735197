"""Recordings compared with each other, and run again on any number of images."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, fx, nn

from systolith.trace.calls import title
from systolith.trace.recording import Recording, record

__all__ = ["first_difference", "record_for_any_count", "run_node"]

COUNTS = 2, 3
"""Numbers of images of the two recordings that are compared."""


@dataclass(frozen=True, slots=True)
class _Linear:
    """A whole number that is ``offset + factor * images``."""

    offset: int
    factor: int


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """A constant tensor that has this row for each image."""

    row: Tensor


class _DifferentError(Exception):
    """Two arguments that are not the same."""


def first_difference(
    one: Recording, other: Recording, may_differ: Callable[[fx.Node], bool] = lambda node: False
) -> fx.Node | None:
    """Find the first call of a recording that another one does not have, or with other arguments.

    Parameters
    ----------
    one, other : Recording
    may_differ : callable
        Whether arguments of a call of `one` may be others than those in `other`.

    Returns
    -------
    fx.Node, optional
        Of `one`; None if they agree.
    """
    node, _ = _merged(one, other, any_count=False, may_differ=may_differ)
    return node


def record_for_any_count(model: nn.Module, images: Tensor) -> Recording:
    """Record a model so that :func:`run_node` can run its calls on any number of images.

    It is recorded on two and on three images, and arguments that depend on that number are found.

    Parameters
    ----------
    model, images
        As for :func:`record`.

    Returns
    -------
    Recording
        Not to be read by anything else than :func:`run_node`; with a problem if what is computed
        depends on the number of images.
    """
    recording, other = (record(model, images, count) for count in COUNTS)
    if recording.problems:
        return recording
    node, arguments = _merged(recording, other, any_count=True)
    if node is not None:
        recording.problems.append(f"{title(node)}: needs to be the same for any number of images")
    for call, (args, kwargs) in arguments.items():
        call.args, call.kwargs = args, kwargs
    return recording


def run_node(node: fx.Node, read: Callable[[fx.Node], Any], count: int) -> Any:
    """Run a call of a recording made by :func:`record_for_any_count`, for `count` images.

    Parameters
    ----------
    node : fx.Node
        Of a function, method or module; modules run without their hooks, which are calls of their
        own.
    read : callable
        Gives the value of a node before.
    count : int
        Images in the batch.
    """

    def value(argument: Any) -> Any:
        match argument:
            case fx.Node():
                return read(argument)
            case _Linear(offset=offset, factor=factor):
                return offset + factor * count
            case _Rows(row=row):
                return row.expand(count, *row.shape[1:])
            case _:
                return argument

    args, kwargs = fx.node.map_aggregate((node.args, node.kwargs), value)
    match node.op:
        case "call_module":
            return node.meta["module"].forward(*args, **kwargs)
        case "call_method":
            method = getattr(args[0], str(node.target))
            return method(*args[1:], **kwargs) if callable(method) else method
        case _:
            result = node.target(*args, **kwargs)  # type: ignore[operator]  # a function
            return args[0] if node.target is operator.setitem else result


_Arguments = tuple[Any, Any]


def _merged(
    one: Recording,
    other: Recording,
    *,
    any_count: bool,
    may_differ: Callable[[fx.Node], bool] = lambda node: False,
) -> tuple[fx.Node | None, dict[fx.Node, _Arguments]]:
    """Compare calls one after the other; the first that differs, and arguments of those before."""
    twins: dict[fx.Node, fx.Node] = {}
    arguments: dict[fx.Node, _Arguments] = {}
    last: fx.Node | None = None
    for node, twin in zip_longest(one.graph.nodes, other.graph.nodes):
        if node is None or twin is None:
            return node or last, arguments
        if (node.op, node.target) != (twin.op, twin.target) or "failed" in twin.meta:
            return node, arguments
        twins[twin] = last = node
        try:
            args = _merge(node.args, twin.args, twins, any_count)
            arguments[node] = args, _merge(node.kwargs, twin.kwargs, twins, any_count)
        except _DifferentError:
            if not may_differ(node):
                return node, arguments
    return None, arguments


def _merge(one: Any, other: Any, twins: Mapping[fx.Node, fx.Node], any_count: bool) -> Any:
    """Give an argument that stands for both; numbers may depend on the number of images."""
    match one, other:
        case fx.Node(), fx.Node() if twins.get(other) is one:
            return one
        case ((tuple() | list()), (tuple() | list())) if len(one) == len(other):
            parts = [_merge(*pair, twins, any_count) for pair in zip(one, other, strict=True)]
            return parts if isinstance(one, list) else tuple(parts)
        case dict(), dict() if one.keys() == other.keys():
            return {name: _merge(one[name], other[name], twins, any_count) for name in one}
        case slice(), slice():
            pairs = zip(_parts(one), _parts(other), strict=True)
            return slice(*(_merge(*pair, twins, any_count) for pair in pairs))
        case Tensor(), Tensor():
            return _merge_tensors(one, other, any_count)
        case bool(), bool() if one == other:
            return one
        case int(), int() if type(one) is type(other) is int and (one == other or any_count):
            factor = (other - one) // (COUNTS[1] - COUNTS[0])
            return _Linear(one - factor * COUNTS[0], factor) if factor else one
        case _ if type(one) is type(other) and not isinstance(one, Tensor | int) and one == other:
            return one
    raise _DifferentError


def _merge_tensors(one: Tensor, other: Tensor, any_count: bool) -> Any:
    if one is other or (one.shape == other.shape and torch.equal(one, other)):
        return one
    per_image = one.shape[:1] == COUNTS[:1] and other.shape[:1] == COUNTS[1:]
    if any_count and per_image and one.shape[1:] == other.shape[1:]:
        if torch.equal(one[:1].expand_as(other), other) and torch.equal(one, other[: len(one)]):
            return _Rows(one[:1])
    raise _DifferentError


def _parts(value: slice) -> tuple[Any, Any, Any]:
    return value.start, value.stop, value.step
