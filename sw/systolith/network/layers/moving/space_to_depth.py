"""Pixels as channels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from systolith.network.layers.moving._blocks import BlockLayer
from systolith.network.numbers import IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["SpaceToDepth"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpaceToDepth(BlockLayer):
    """Each b x b pixels of C channels as one pixel of b*b*C channels.

    ``y[(i*b + j)*C + c, h, w] = x[c, h*b + i, w*b + j]``: the inverse of :class:`DepthToSpace`, as
    in ONNX. PyTorch's pixel unshuffle has its channels in another order: ``c*b*b + i*b + j``.

    Parameters
    ----------
    block : int
        Side b, at least 2.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C*b*b, H/b, W/b)."""
        channels, height, width = inputs[0]
        return channels * self.block**2, height // self.block, width // self.block

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := list(self.image_problems(inputs)):
            yield from unfit
        elif any(size % self.block for size in inputs[0][1:]):
            yield (
                f"needs height and width divisible by {self.block}, but '{self.input}' has shape "
                f"{inputs[0]}"
            )

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        (x,), b = values, self.block
        images, channels, height, width = x.shape
        parts = x.reshape(images, channels, height // b, b, width // b, b)
        moved = parts.transpose(0, 3, 5, 1, 2, 4)
        return moved.reshape(images, channels * b**2, height // b, width // b)
