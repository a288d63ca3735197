"""Nodes by the place of their values in memory, so that views see changes in place."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, fx

__all__ = ["AliasMap", "changed_through_a_view"]

_Place = tuple[int, int, tuple[int, ...], tuple[int, ...]]
"""Address of the storage, offset, shape, strides; of a tensor without storage, its identity."""


def changed_through_a_view(changer: object) -> None:
    """Mark a value that `changer` changed through another view of its memory."""
    raise AssertionError("a mark in a graph, not to be called")


@dataclass
class AliasMap:
    """Nodes by the place of their values.

    Tensors at one place are one value, whichever Python objects they are. All are kept alive, so
    no address is reused.
    """

    graph: fx.Graph
    _nodes: dict[_Place, fx.Node] = field(default_factory=dict)
    _tensors: dict[_Place, Tensor] = field(default_factory=dict)
    _copies: dict[_Place, Tensor] = field(default_factory=dict)
    _changed: dict[int, fx.Node] = field(default_factory=dict)
    """Last node that changed something in a storage, by its address."""

    def knows(self, tensor: Tensor) -> bool:
        """Whether a value depends on the images."""
        place = _place(tensor)
        return place in self._nodes or place[0] in self._changed

    def is_same(self, one: Tensor, other: Tensor) -> bool:
        """Whether two tensors lie at one place."""
        return _place(one) == _place(other)

    def is_stale(self, tensor: Tensor) -> bool:
        """Whether a known tensor has changed since it was written."""
        copy = self._copies.get(_place(tensor))
        return copy is not None and not _equal(tensor, copy)

    def write(self, tensor: Tensor, node: fx.Node) -> Tensor:
        """Register a node's value at a tensor's place; return a copy of it."""
        place, copy = _place(tensor), tensor.detach().clone()
        self._nodes[place], self._tensors[place], self._copies[place] = node, tensor, copy
        return copy

    def read(self, tensor: Tensor) -> fx.Node | None:
        """Node with this value; None if it does not depend on the images."""
        place = _place(tensor)
        node = self._nodes.get(place)
        if node is None:  # if a view of it was changed, the tensor was a constant until then
            node = self._changed.get(place[0])
            return None if node is None else self._mark(tensor, node)
        if self.is_stale(tensor):
            return self._mark(tensor, self._changed.get(place[0], node))
        return node

    def change(self, tensor: Tensor, node: fx.Node, values: dict[fx.Node, Tensor]) -> None:
        """Update all views of a tensor's memory after a node changed it.

        The tensor's own value has been written before.
        """
        place = _place(tensor)
        self._changed[place[0]] = node
        for other, view in list(self._tensors.items()):
            if other[0] != place[0] or other == place or not _overlap(view, tensor):
                continue
            if view.is_contiguous() and tensor.is_contiguous() and _span(view) == _span(tensor):
                sizes = tuple(view.shape)
                viewed = self.graph.call_method("view", (node, *sizes))
                values[viewed] = self.write(view, viewed)
            else:
                self._mark(view, node)

    def _mark(self, tensor: Tensor, changer: fx.Node) -> fx.Node:
        mark = self.graph.call_function(changed_through_a_view, (changer,))
        self.write(tensor, mark)
        return mark


def _place(tensor: Tensor) -> _Place:
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        return id(tensor), 0, (), ()
    try:
        address = tensor.untyped_storage().data_ptr()
    except RuntimeError:  # a subclass that holds its values in other tensors
        return id(tensor), 0, (), ()
    return address, int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride()


def _span(tensor: Tensor) -> tuple[int, int]:
    """First and last element of the storage that a tensor may touch."""
    reach = sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )
    first = int(tensor.storage_offset())
    return first, first + int(reach)


def _overlap(one: Tensor, other: Tensor) -> bool:
    (first, last), (start, end) = _span(one), _span(other)
    return first <= end and start <= last


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether tensors are equal; NaN equals NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())
