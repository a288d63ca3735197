"""Pixels as channels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from systolith.network.layers.moving._blocks import BlockLayer
from systolith.network.numbers import IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["SpaceToDepth"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpaceToDepth(BlockLayer):
    """Each r x b pixels of C channels as one pixel of r*b*C channels.

    ``y[(i*b + j)*C + c, h, w] = x[c, h*r + i, w*b + j]``: the inverse of :class:`DepthToSpace`, for
    ``r = b`` as in ONNX. PyTorch's pixel unshuffle has its channels in another order:
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
        """Shape (C*r*b, H/r, W/b)."""
        (channels, height, width), (rows, columns) = inputs[0], self.sides
        return channels * rows * columns, height // rows, width // columns

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := list(self.image_problems(inputs)):
            yield from unfit
        elif any(size % side for size, side in zip(inputs[0][1:], self.sides, strict=True)):
            divisor = self.block if isinstance(self.block, int) else "{} and {}".format(*self.block)
            yield (
                f"needs height and width divisible by {divisor}, but '{self.input}' has shape "
                f"{inputs[0]}"
            )

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        (x,), (rows, columns) = values, self.sides
        images, channels, height, width = x.shape
        parts = x.reshape(images, channels, height // rows, rows, width // columns, columns)
        moved = parts.transpose(0, 3, 5, 1, 2, 4)
        return moved.reshape(images, channels * rows * columns, height // rows, width // columns)
