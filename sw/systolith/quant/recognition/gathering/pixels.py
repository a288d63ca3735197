"""Vectors as images of one pixel, so that they can become larger images."""

from math import prod

import torch
from torch import fx, nn

from systolith.network import Shape
from systolith.quant.recognition.gathering.fusing import Fusing
from systolith.quant.recognition.operations import Convolve, LookUp, MatrixMultiply, ToVectors

__all__ = ["Imaging"]

_NO_PADDING = (0, 0, 0, 0)


class Imaging(Fusing):
    """A reader of recorded calls that makes images of the vectors that linear layers give."""

    def make_image(self, node: fx.Node, shape: Shape) -> None:
        """Make an image of this shape of the vector that a node's source computes, if possible.

        Linear layers become convolutions, and channels of one pixel become pixels.
        """
        name = self.sources[node]
        if self._make_pixel(name, readers=0) and shape[1:] != (1, 1):
            self.moved.places[node] = torch.arange(prod(shape)).reshape(shape)

    def _make_pixel(self, name: str, readers: int) -> bool:
        """Compute a vector as an image of one pixel; False if that is not possible.

        `readers` layers read it, which will read an image.
        """
        layer = self.layers.get(name)
        if layer is None or self._count_readers(name) != readers:
            return False
        (source, *_) = layer.inputs
        match layer.operation:
            case LookUp():
                if not self._make_pixel(source, readers=1):
                    return False
            case MatrixMultiply(module=linear):
                before = self.layers.get(source)
                if before is not None and isinstance(before.operation, ToVectors):
                    (source,) = before.inputs
                elif not self._make_pixel(source, readers=1):
                    return False
                conv = _as_convolution(linear, self.shapes[source])
                layer.operation = Convolve(conv, _NO_PADDING)
                layer.inputs = (source,)
            case _:
                return False
        self.shapes[name] = (*self.shapes[name], 1, 1)
        return True

    def _count_readers(self, name: str) -> int:
        return sum(name in layer.inputs for layer in self.layers.values())


def _as_convolution(linear: nn.Linear, image: Shape) -> nn.Conv2d:
    """Make a convolution over whole images, (C, H, W), of a linear layer behind a flattening."""
    channels, height, width = image
    conv = nn.Conv2d(channels, linear.out_features, (height, width), bias=linear.bias is not None)
    weight = linear.weight.detach().reshape(conv.weight.shape)
    conv.weight = nn.Parameter(weight.clone(), requires_grad=linear.weight.requires_grad)
    if linear.bias is not None:
        bias = linear.bias.detach().clone()
        conv.bias = nn.Parameter(bias, requires_grad=linear.bias.requires_grad)
    return conv.to(linear.weight)
