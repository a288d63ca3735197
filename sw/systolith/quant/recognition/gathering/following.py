"""Calls that only move values, followed to the layer that reads them."""

from abc import abstractmethod
from math import prod

from torch import Tensor, fx

from systolith.network import Shape
from systolith.quant.recognition.calls.transposed import phase_moves
from systolith.quant.recognition.gathering.moves import MovedValues, moved_shape, moving_layers
from systolith.quant.recognition.gathering.tabulating import Tabulating
from systolith.quant.recognition.gathering.unfolded import Unfolded
from systolith.quant.recognition.operations import (
    Activate,
    Convolve,
    Move,
    Pad,
    Pass,
    Reshape,
    TakeChannels,
)
from systolith.quant.recognition.sequences import image_shape
from systolith.trace import Recording, qualified_name, readable_name, title

__all__ = ["Following"]


class Following(Tabulating):
    """A reader of recorded calls that makes layers of moved values where something reads them."""

    recording: Recording
    moved: MovedValues

    @abstractmethod
    def reshape(self, node: fx.Node, first: fx.Node) -> None:
        """Make a flattening if the result is vectors; other shapes must be undone later."""

    @abstractmethod
    def refuse_operation(self, node: fx.Node) -> None:
        """Refuse an operation that was recognized but does not fit here."""

    @abstractmethod
    def shape_of(self, node: fx.Node) -> Shape:
        """Shape of one image's value of a node."""

    def follow(self, node: fx.Node, first: fx.Node) -> bool:
        """Follow moved values through a call; otherwise make layers of those that it reads.

        Returns
        -------
        bool
            Whether the call only moves values.
        """
        operation, places = self.operations[node], self.moved.places
        known = first in places or first in self.moved.mixed or self._mixes(node, first)
        if isinstance(operation, Move) or (isinstance(operation, Reshape) and known):
            self._move(node, first, operation)
            return True
        if isinstance(operation, Pass | Activate) and first in places:
            places[node] = places[first]
            return False
        for source in node.all_input_nodes:
            self.place(source)
        self.sources[node] = self.sources[first]
        return False

    def _mixes(self, node: fx.Node, first: fx.Node) -> bool:
        """Whether a result has another number of images, until a call behind it undoes that."""
        values = self.recording.values
        return first in values and node in values and len(values[node]) != len(values[first])

    def _move(self, node: fx.Node, first: fx.Node, operation: Move | Reshape) -> None:
        """Move places; values in their order are only reshaped."""
        if self.settle(node):
            self.unfolded[node] = Unfolded()
        layer = self.shapes[self.sources[first]]
        values = self.recording.values
        origin = first if first in values else first.all_input_nodes[0]
        shape = tuple(values[origin].shape[1:])
        if not self.moved.follow(node, shape, values[origin], layer):
            self.refuse_operation(node)
        elif node in self.moved.places and self.moved.stays(node, layer):
            del self.moved.places[node]
            self.operations[node] = Reshape(operation.reason)
            self.reshape(node, first)

    def place(self, node: fx.Node) -> None:
        """Make layers of the moves that lead to a node's value, if any do."""
        if node in self.moved.mixed:
            *_, mixing = self.moved.mixed[node]
            self.refuse_operation(mixing)
            self.lose(node)
            return
        places = self.moved.places.pop(node, None)
        if places is None:
            return
        places = places.reshape(image_shape(tuple(places.shape)))
        before, moved = self.sources[node], node
        while isinstance(self.operations[moved], Pass | Activate):
            moved = moved.all_input_nodes[0]
        operations = moving_layers(places, self.shapes[before])
        if operations is None:
            while not isinstance(self.operations[moved], Move):
                moved = moved.all_input_nodes[0]
            self.refuse_operation(moved)
            self.lose(node)
            return
        for number, operation in enumerate(operations, 1):
            last, name = number == len(operations), readable_name(moved)
            suffix = "channels" if isinstance(operation, TakeChannels) else "blocks"
            name = self.unused(name if last else f"{name}_{suffix}")
            self.add_layer(node, name, operation, (before,))
            layer = self.layers[name]
            layer.title = title(moved)
            layer.qualified_name = qualified_name(moved) if last else name
            layer.reference = node.name if last else ""
            self.shapes[name] = moved_shape(operation, self.shapes[before])
            before = name

    def leave_to_host(self, node: fx.Node) -> Tensor | None:
        """Make layers of the moves that lead to a returned value, or leave them to the host.

        Returns
        -------
        Tensor, optional
            Number of each value in the layer's result, in the shape of one image; None if there is
            nothing left to do, but perhaps another shape.
        """
        places = self.moved.places.get(node)
        if node in self.moved.mixed:
            self.place(node)
        if places is None:
            return None
        image = places.reshape(image_shape(tuple(places.shape)))
        if moving_layers(image, self.shapes[self.sources[node]]) is None:
            return self.moved.places.pop(node)
        self.place(node)
        return None

    def add_moves(self, node: fx.Node, name: str, operation: Convolve) -> None:
        """Make pixels of the phases of a transposed convolution."""
        phases, (_, height, width) = operation.phases or (1, 1), self.shapes[name]
        top, bottom, left, right = operation.cut
        self.shapes[name] = (
            operation.module.out_channels * prod(phases),
            (height + top + bottom) // phases[0],
            (width + left + right) // phases[1],
        )
        before = name
        for suffix, move in phase_moves(operation):
            self.layers[before].reference = ""
            moved = self.unused(f"{name}_{suffix}")
            self.add_layer(node, moved, move, (before,))
            if not isinstance(move, Pad):
                self.shapes[moved] = moved_shape(move, self.shapes[before])
            before = moved

    def lose(self, node: fx.Node) -> None:
        """Take a node for a layer of its own, whose value is not known."""
        self.unknown.add(node)
        self.sources[node] = node.name
        if node in self.recording.values:
            self.shapes[node.name] = self.shape_of(node)

    def unused(self, name: str) -> str:
        """Lengthen a name until no layer has it."""
        while name in self.layers:
            name += "_"
        return name
