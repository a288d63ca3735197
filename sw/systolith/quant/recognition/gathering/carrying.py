"""Padding, factors and shifts, carried to the layer that takes them."""

from torch import fx

from systolith.network import INPUT
from systolith.quant.recognition.gathering.following import Following
from systolith.quant.recognition.gathering.unfolded import FOLDS_ZEROS, TO_BE_FOLDED, Unfolded, fold
from systolith.quant.recognition.operations import (
    Operation,
    Pad,
    Reshape,
    ScaleAndShift,
)
from systolith.trace import readable_name, title

__all__ = ["Carrying"]


class Carrying(Following):
    """A reader of recorded calls that folds padding and scales into layers, or makes layers."""

    def carry(self, first: fx.Node, node: fx.Node, operation: Operation | None = None) -> None:
        """Carry padding and scales over a node, and add its own."""
        unfolded = self.unfolded.get(first, Unfolded())
        match operation:
            case Pad() if unfolded.shifts:
                if self.compute_scales(first):
                    self.sources[node] = self.sources[first]
                else:
                    self.settle(node)
                unfolded = Unfolded()
            case Pad() if self.is_reshaped(first):
                self.refuse_operation(first)
            case ScaleAndShift() if unfolded.pads:
                self.settle(node)
                unfolded = Unfolded()
        match operation:
            case Pad():
                unfolded = unfolded.add_pad(node, operation)
            case ScaleAndShift():
                unfolded = unfolded.add_scale(node, operation)
            case Reshape():
                unfolded = unfolded.reshape(self.shape_of(node))
        self.unfolded[node] = unfolded

    def is_reshaped(self, node: fx.Node) -> bool:
        """Whether a node's shape differs from that of the layer that computes its value."""
        unfolded = self.unfolded.get(node, Unfolded())
        return self.shape_of(node) != unfolded.padded_shape(self.shapes[self.sources[node]])

    def fold_into(self, node: fx.Node, operation: Operation) -> Operation:
        """Fold padding and scales in front of a layer into it, or refuse them."""
        for source in node.all_input_nodes:
            unfolded = self.unfolded.get(source, Unfolded())
            if not unfolded:
                continue
            folded, refused = fold(
                unfolded, operation, activated=self._activated(source), reader=title(node)
            )
            if refused and (self.pad_apart(source) or self._scale_apart(source)):
                continue
            operation = folded
            for origin, reason in refused:
                self.refuse(origin, reason)
        return operation

    def _scale_apart(self, node: fx.Node) -> bool:
        """Make a table of factors and shifts that are not padded."""
        return not self.unfolded[node].pads and self.compute_scales(node)

    def pad_apart(self, node: fx.Node) -> bool:
        """Make a layer of the zeros around a node's value; False if there are none, or scales."""
        unfolded = self.unfolded.get(node, Unfolded())
        if not unfolded.pads or unfolded.scales:
            return False
        origin, source = unfolded.pads[-1][0], self.sources[node]
        name = self.unused(readable_name(origin))
        self.add_layer(origin, name, Pad(unfolded.padding), (source,))
        if name != readable_name(origin):
            self.layers[name].qualified_name = name
        for padded in {origin, node}:
            self.sources[padded], self.unfolded[padded] = name, Unfolded()
        return True

    def settle(self, node: fx.Node) -> bool:
        """Make layers of padding in front of a node, and refuse scales; True if any is refused."""
        for source in node.all_input_nodes:
            if self.pad_apart(source) and source is node.all_input_nodes[0]:
                self.sources[node] = self.sources[source]
        unfolded = [self.unfolded.get(source, Unfolded()) for source in node.all_input_nodes]
        refused = [refusal for before in unfolded for refusal in before.unread()]
        for origin, reason in refused:
            self.refuse(origin, reason)
        return bool(refused)

    def _activated(self, node: fx.Node) -> bool:
        """Whether the layer that computes a node's value ends in a ReLU or ReLU6."""
        layer = self.layers.get(self.sources[node])
        return layer is not None and layer.activation.rectifies

    def settle_output(self, node: fx.Node) -> None:
        """Make layers of padding and scales at the output of the model, or refuse them."""
        padded = self.sources[node] != INPUT and self.pad_apart(node)
        if padded or self.compute_scales(node):
            return
        for origin, reason in self.unfolded.get(node, Unfolded()).unread():
            behind = isinstance(self.operations[origin], Pad)
            self.refuse(
                origin, f"needs {FOLDS_ZEROS} behind it, {TO_BE_FOLDED}" if behind else reason
            )
