"""Channels as pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from systolith.network.layers.moving._blocks import BlockLayer
from systolith.network.numbers import IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["DepthToSpace"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthToSpace(BlockLayer):
    """Each pixel of r*b*C channels as r x b pixels of C channels.

    ``y[c, h*r + i, w*b + j] = x[(i*b + j)*C + c, h, w]``, for ``r = b`` as DepthToSpace of ONNX
    with its mode DCR. PyTorch's pixel shuffle has its channels in another order:
    ``c*b*b + i*b + j``.

    Parameters
    ----------
    block : int or (int, int)
        Side of a square block, at least 2; or rows r and columns b, of which one may be 1, as in
        sequences.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C, H*r, W*b)."""
        (channels, height, width), (rows, columns) = inputs[0], self.sides
        return channels // (rows * columns), height * rows, width * columns

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := list(self.image_problems(inputs)):
            yield from unfit
        elif inputs[0][0] % prod(self.sides):
            yield (
                f"needs channels divisible by {prod(self.sides)}, but '{self.input}' has shape "
                f"{inputs[0]}"
            )

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        (x,), (rows, columns) = values, self.sides
        images, channels, height, width = x.shape
        left = channels // (rows * columns)
        parts = x.reshape(images, rows, columns, left, height, width)
        moved = parts.transpose(0, 3, 4, 1, 5, 2)
        return moved.reshape(images, left, height * rows, width * columns)
