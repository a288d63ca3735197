"""Batch norms and activations, made parts of the layer before them."""

import torch
from torch import Tensor, fx

from systolith.quant.layers.requantizing import Activation
from systolith.quant.recognition.folding import batch_norm_scale, scale_channels
from systolith.quant.recognition.gathering.multiplying import Multiplying
from systolith.quant.recognition.gathering.unfolded import Unfolded
from systolith.quant.recognition.nodes import only_origin, reads_unknown
from systolith.quant.recognition.operations import (
    Activate,
    AddUp,
    AveragePool,
    Convolve,
    DepthToPixels,
    Enlarge,
    Extend,
    MatrixMultiply,
    MaxPool,
    Move,
    Normalize,
    Pad,
    Pass,
    PixelsToDepth,
    Product,
    Reshape,
    TakeChannels,
    ToVectors,
)
from systolith.trace import readable_name

__all__ = ["FUSES", "Fusing"]

FUSES = Convolve | MatrixMultiply | AddUp | Product | AveragePool
"""Layers that take an activation."""
_MOVES = TakeChannels | DepthToPixels | PixelsToDepth | Pad | Enlarge | Extend
_COMMUTES = MaxPool | ToVectors | _MOVES
"""Layers behind which a monotone function that keeps zero gives the same as in front."""


class Fusing(Multiplying):
    """A reader of recorded calls that fuses batch norms and activations into layers."""

    def normalize(self, node: fx.Node, operation: Normalize, before: str) -> None:
        """Fold a batch norm into the layer before it; otherwise keep it for the layer behind."""
        (first,) = node.all_input_nodes
        layer = self.layers.get(before)
        origin = only_origin(node, self.operations, Pass)
        if (
            layer is None
            or origin is None
            or self.unfolded.get(first)
            or not isinstance(self.operations[origin], Convolve | MatrixMultiply)
        ):
            scale = batch_norm_scale(operation.module, self.shape_of(node))
            self.operations[node] = scale
            self.carry(first, node, scale)
            return
        last = layer
        while isinstance(layer.operation, _COMMUTES):  # phases of a transposed convolution
            layer = self.layers[layer.inputs[0]]
        layer.norm = operation.module
        layer.reference = ""
        last.reference = node.name

    def fuse(self, node: fx.Node, operation: Activate) -> None:
        """Make an activation part of the layer that computes its argument, or a table."""
        # Maximum and flattening commute with a monotone function of each value.
        through = Pass | MaxPool | Reshape | ToVectors | Normalize | Activate | Move | Pad | Enlarge
        through |= Extend
        origin = only_origin(node, self.operations, through)
        (first,) = node.all_input_nodes
        if origin is None or not isinstance(self.operations[origin], FUSES):
            self.pad_apart(first)
            self.moved.places.pop(node, None)
            self.place(first)
            self.sources[node] = self.sources[first]
            if not reads_unknown(node, self.unknown, self.operations, through):
                self.apply(node)
            return
        last = self.layers[self.sources[first]]
        self.unfolded[node] = self.unfolded.get(first, Unfolded())
        layer = last
        while isinstance(layer.operation, _COMMUTES):
            layer.reference = ""
            layer = self.layers[layer.inputs[0]]
        layer.reference = ""
        last.reference = "" if node in self.moved.places or self.unfolded[node] else node.name
        if layer.activation is not Activation.RELU6:
            layer.activation = operation.activation

    def fuse_slope(self, node: fx.Node, slope: Tensor) -> bool:
        """Fuse a slope of negative values into the layer that computes a node's argument.

        Where other calls read that value, too, slopes of channels become part of a depthwise
        convolution of 1x1. Returns whether the slope has become part of a layer.
        """
        (first,) = node.all_input_nodes
        if first in self.unknown or self.is_reshaped(first) or self.unfolded.get(first):
            return False
        layer = self.layers.get(self.sources[first])
        origin = only_origin(node, self.operations, Pass | Normalize)
        if (
            origin is None
            or not isinstance(self.operations[origin], FUSES)
            or layer is None
            or not isinstance(layer.operation, FUSES)
            or layer.activation is not Activation.NONE
        ):
            shape = self.shape_of(first)
            if (
                slope.numel() == 1
                or (conv := scale_channels(torch.ones(shape), torch.zeros(shape))) is None
            ):
                return False
            self.add_layer(
                node, readable_name(node), Convolve(conv, (0, 0, 0, 0)), (self.sources[first],)
            )
            layer = self.layers[self.sources[node]]
        layer.activation, layer.slope = Activation.SLOPED, slope
        layer.reference = node.name
        return True
