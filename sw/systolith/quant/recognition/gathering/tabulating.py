"""Calls that together are a function of each value of one tensor."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor, fx

from systolith.network import Shape
from systolith.quant.recognition.folding import scale_channels
from systolith.quant.recognition.gathering.unfolded import Unfolded
from systolith.quant.recognition.operations import (
    Activate,
    AddUp,
    Apply,
    Combine,
    Convolve,
    FloatLayer,
    LookUp,
    Operation,
    Pass,
    ScaleAndShift,
    ToVectors,
)
from systolith.trace import Elementwise, readable_name

__all__ = ["Tabulating"]

NO_SOURCE = "needs one tensor of a layer, or of the input, that it is a function of"

Operations = Mapping[fx.Node, Operation | None]


class Tabulating(ABC):
    """A reader of recorded calls that makes tables of functions of each value."""

    layers: dict[str, FloatLayer]
    sources: dict[fx.Node, str]
    shapes: dict[str, Shape]
    operations: dict[fx.Node, Operation | None]
    unfolded: dict[fx.Node, Unfolded]
    refused: set[fx.Node]
    unknown: set[fx.Node]

    @abstractmethod
    def add_layer(
        self, node: fx.Node, name: str, operation: Operation, inputs: tuple[str, ...]
    ) -> None:
        """Make a layer that computes a node's value."""

    @abstractmethod
    def flatten(self, node: fx.Node, name: str, before: str) -> None:
        """Make a flattening behind the layer `before`."""

    @abstractmethod
    def is_reshaped(self, node: fx.Node) -> bool:
        """Whether a node's shape differs from that of the layer that computes its value."""

    @abstractmethod
    def settle(self, node: fx.Node) -> bool:
        """Make layers of padding in front of a node, and refuse scales; True if any is refused."""

    @abstractmethod
    def refuse(self, node: fx.Node, reason: str) -> None:
        """Report that a node is not supported."""

    def apply(self, node: fx.Node) -> None:
        """Make a table of a function of each value, or refuse it."""
        operation = self.operations[node]
        if any(source in self.unknown for source in node.all_input_nodes):
            self.unknown.add(node)
        elif self.tabulate(node):
            return
        elif any([self.compute_scales(source) for source in node.all_input_nodes]):
            self.apply(node)
        elif not (self.settle(node) or self.tabulate(node)):
            self.refuse(node, operation.reason if isinstance(operation, Combine) else NO_SOURCE)

    def tabulate(self, node: fx.Node) -> bool:
        """Make a table of the calls that are a function of one tensor; False if there is none."""
        traced = _find_source(node, self.operations, self._is_layer)
        if traced is None or any(call in self.refused for call in traced[1]):
            return False
        source, calls = traced
        if source in self.unknown or self.unfolded.get(source) or self.is_reshaped(source):
            return False
        name, before = readable_name(node), self.sources[source]
        layer = self.layers.get(before)
        operation = LookUp(Elementwise(source, calls))
        if not isinstance(self.operations[node], Apply):
            self.operations[node] = Apply()
        if layer is None or not isinstance(layer.operation, ToVectors):
            self.add_layer(node, name, operation, (before,))
            return True
        # A function of each value commutes with a flattening: hardware has tables of images.
        (image,) = layer.inputs
        self.add_layer(node, name, operation, (image,))
        self.shapes[name] = self.shapes[image]
        self.layers[name].reference = ""
        self.flatten(node, f"{name}_flatten", name)
        return True

    def compute_scales(self, node: fx.Node) -> bool:
        """Make a layer of factors and shifts that fold into no reader.

        Numbers become a table; those of channels of an image a depthwise convolution of 1x1.
        """
        unfolded = self.unfolded.get(node, Unfolded())
        if not unfolded or unfolded.pads or node in self.unknown or self.is_reshaped(node):
            return False
        if not self.tabulate(node):
            assert unfolded.factor is not None and unfolded.shift is not None
            conv = scale_channels(unfolded.factor, unfolded.shift)
            if conv is None:
                return False
            self.operations[node] = scaled = Convolve(conv, (0, 0, 0, 0))
            self.add_layer(node, readable_name(node), scaled, (self.sources[node],))
        self.unfolded[node] = Unfolded()
        return True

    def is_table(self, node: fx.Node) -> bool:
        """Whether a table computes a node's value."""
        layer = self.layers.get(self.sources.get(node, ""))
        if layer is not None and isinstance(layer.operation, ToVectors):
            layer = self.layers.get(layer.inputs[0])
        return layer is not None and isinstance(layer.operation, LookUp)

    def _is_layer(self, node: fx.Node) -> bool:
        """Whether a node's value is that of a layer, other than a table, or of the input."""
        layer = self.layers.get(self.sources[node])
        if layer is None:
            return node.op == "placeholder"
        return layer.reference == node.name and not self.is_table(node)


def _find_source(
    node: fx.Node, operations: Operations, is_layer: Callable[[fx.Node], bool]
) -> tuple[fx.Node, list[fx.Node]] | None:
    """Find the tensor that a call is a function of, and the calls that make up the function.

    It is the last tensor on which all arguments depend, through calls that compute each value on
    its own. A call that belongs to no layer, or to a table that nothing else reads, is part of the
    function, too.

    Parameters
    ----------
    node : fx.Node
        The last call of the function.
    operations : mapping of fx.Node to Operation or None
    is_layer : callable
        Whether a node's value is the result of a layer of hardware other than a table.

    Returns
    -------
    pair of fx.Node and list of fx.Node, or None
        Source and calls, in their order; None if there is no such tensor.
    """
    if not _is_elementwise(node, operations):
        return None
    numbers = {call: number for number, call in enumerate(node.graph.nodes)}
    absorbed = {node}
    frontier = set(node.all_input_nodes)
    while len(frontier) > 1 or _joins(next(iter(frontier)), absorbed, operations, is_layer):
        last = max(frontier, key=numbers.__getitem__)
        if not _is_elementwise(last, operations):
            return None
        absorbed.add(last)
        frontier = (frontier - {last}) | set(last.all_input_nodes)
    (source,) = frontier
    return source, sorted(absorbed, key=numbers.__getitem__)


def _joins(
    source: fx.Node,
    absorbed: set[fx.Node],
    operations: Operations,
    is_layer: Callable[[fx.Node], bool],
) -> bool:
    """Whether a function's only source becomes part of the function."""
    if is_layer(source) or not _is_elementwise(source, operations):
        return False
    private = set(source.users) <= absorbed
    return private or isinstance(operations[source], ScaleAndShift | Pass)


def _is_elementwise(node: fx.Node, operations: Operations) -> bool:
    """Whether each value of a call's result depends on one value of each activation."""
    match operations.get(node):
        case Apply() as applied:
            return not applied.per_channel
        case Activate() | Pass() | Combine() | AddUp():
            return True
        case ScaleAndShift():
            # Batch norms have a number for each channel.
            given = [*node.args, *node.kwargs.values()]
            constants = (value for value in given if isinstance(value, Tensor))
            return node.op != "call_module" and all(value.numel() == 1 for value in constants)
        case _:
            return False
